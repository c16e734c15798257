"""Residual branches of forty blocks h + α·W φ(h): the squared gradient's growth for several α, and two other laws.

The factor α is that of the branch's weights, σ_w = α·√2 for relu. The input has the second moment 1 where the law
depends on it.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, near
from gradlab.reproductions.signals import ratios

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "Residual branches h + α·f(h) of relu blocks multiply the squared gradient by 1 + α² each: e over the "
    "whole depth for α = 1/√depth, nothing for α = 0; tanh branches and normalized branches make it grow "
    "slower than exponentially."
)
SOURCE = "Yang & Schoenholz 2017, NeurIPS; Bachlechner et al. 2021, UAI (α = 0)"

DEPTH, WIDTH = 40, 400
NETWORK = (
    f"depth={DEPTH}",
    f"width={WIDTH}",
    "residual=pre_activation",
    "data=gaussian",
    "steps=0",
    "probe=[backward]",
)
SCALES = {  # α: the squared norm of ∂L/∂h at block 0 ÷ block 40
    1.0: 1.10e12,
    1 / math.sqrt(DEPTH): 2.685,
    1 / DEPTH: 1.0253,
}
NORMALIZED, TANH = 111.9, 575.5
TOLERANCE = 0.1  # of the logarithm, relative


def measure(study: Study) -> list[Check]:
    """ln of the ratio for each branch, the mean over seeds."""
    sigmas = ",".join(str(math.sqrt(2) * scale) for scale in SCALES)
    words = ("initializer=normal", f"initializer.sigma_w={sigmas}", f"data.shape=[{WIDTH}]")
    scaled = study.run(*NETWORK, *words, "activation=relu", "batch_size=32", "seeds=32")
    checks = [
        _check(f"relu, α = {scale:.3g}", ratio, run)
        for (scale, ratio), run in zip(SCALES.items(), scaled, strict=True)
    ]
    return [*checks, _rezero(study), _normalized(study), _tanh(study)]


def _rezero(study: Study) -> Check:
    words = (word for word in NETWORK if not word.startswith("residual="))
    (run,) = study.run(*words, "residual=rezero", "activation=relu", "batch_size=32", f"data.shape=[{WIDTH}]")
    return near("relu, α = 0: ln ∂h², block 0 ÷ 40", 0.0, _growth(run))  # exactly


def _normalized(study: Study) -> Check:
    """Behind BN the branch's factor is 1/E h²: an input of second moment 1 needs a third as many features."""
    words = ("initializer=xavier", f"initializer.gain={math.sqrt(2)}", f"data.shape=[{WIDTH // 3}]")
    batch = ("normalization=batch", "batch_size=256", "seeds=8")
    (run,) = study.run(*NETWORK, *words, *batch, "activation=relu")
    return _check("relu, batch normalization in the branch", NORMALIZED, run)


def _tanh(study: Study) -> Check:
    words = ("initializer=xavier", f"data.shape=[{WIDTH}]", "batch_size=32", "seeds=8")
    (run,) = study.run(*NETWORK, *words, "activation=tanh")
    return _check("tanh, α = 1", TANH, run)


def _check(branch: str, ratio: float, run: "RunResult") -> Check:
    return near(f"{branch}: ln ∂h², block 0 ÷ 40", math.log(ratio), _growth(run), relative=TOLERANCE)


def _growth(run: "RunResult") -> float:
    return float(np.mean(2 * np.log(ratios(run, "log10_backward", 0, DEPTH))))
