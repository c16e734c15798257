"""The spread of the squared singular values of the Jacobian through ten layers, beside the mean-field formula.

σ²_{JJᵀ} = L·(μ₂/μ₁² − 1 − s₁), μₖ = E φ′^{2k}, s₁ = 0 for orthogonal and −1 for Gaussian weights: the variance of s²
over the square of its mean, which does not depend on the scale of the weights. For tanh it depends on the variance q*
of the pre-activations, which is 1/64 from the first block on: one number, 2/σ_w, is fed to σ_w times an orthogonal
kernel of 1 × 256, and σ_w² = q*/E tanh²(√q* Z) keeps it.
"""

from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, near

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "Ten linear layers are an isometry with orthogonal weights, whereas Gaussian weights spread the squared singular "
    "values by σ² = L; relu cannot be isometric, σ² = L with orthogonal and 2L with Gaussian weights; tanh with "
    "orthogonal weights nearly can where its inputs are small."
)
SOURCE = "Pennington, Schoenholz & Ganguli 2017, NeurIPS"

LAYERS, WIDTH = 10, 256  # layers between h_0 and h_L; all singular values are computed up to this width
TOLERANCE = 0.15  # relative
ROUNDING = 1e-4
VARIANCE = 1 / 64  # q* of tanh
GAIN = 1.0153149186  # σ_w at which q* is a fixed point without biases
GAUSSIAN = ("data=gaussian", f"data.shape=[{WIDTH}]", "data.train=64", "data.test=16", "batch_size=16")
TINY = ("data=single", f"data.x={16 * VARIANCE**0.5 / GAIN}", f"initializer.gain={GAIN}")
CELLS = {  # activation, initializer: Var s²/(mean s²)²
    ("linear", "orthogonal"): 0.0,
    ("linear", "he"): 10.0,
    ("relu", "orthogonal"): 10.0,
    ("relu", "he"): 20.0,
    ("tanh", "orthogonal"): 0.0169,
}


def measure(study: Study) -> list[Check]:
    """One check per activation and initializer: the mean over four seeds."""
    return [_check(study, *cell, published) for cell, published in CELLS.items()]


def _check(study: Study, activation: str, initializer: str, published: float) -> Check:
    (run,) = study.run(
        f"depth={LAYERS}",
        f"width={WIDTH}",
        f"activation={activation}",
        f"initializer={initializer}",
        *(TINY if activation == "tanh" else GAUSSIAN),
        "steps=0",
        "seeds=4",
        "probe=[forward,jacobian]",
        "snapshot=[]",
    )
    margin = {"relative": TOLERANCE} if published else {"absolute": ROUNDING}
    return near(f"{activation}, {initializer}: σ² of JJᵀ", published, _isometry(run), **margin)


def _isometry(run: "RunResult") -> float:
    """The mean over seeds, measured on the fixed batch before training."""
    rows = run.steps
    values = rows[(rows["step"] == 0) & (rows["source"] == "probe")]["isometry"]
    return float(np.mean(values.to_numpy(dtype=np.float64, na_value=np.nan)))
