"""The change of the gradient over twenty layers, for nine activations, beside the mean-field recursion.

The pre-activations of the first layer have variance 1, where the recursion begins: with weights of the same deviation
σ_w/√n in all layers there must be n/σ_w² inputs. One example, because the largest gradients of a
batch make up its norm.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, near
from gradlab.reproductions.signals import ratios

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "Each layer of a random network multiplies the squared norm of the gradient by χ = σ_w²·E φ′(√q Z)², "
    "where the variances q of the pre-activations follow q′ = σ_w²·E φ(√q Z)²."
)
SOURCE = "Schoenholz et al. 2017, ICLR (figures 1 and 4)"

WIDTH, LAYERS, SEEDS = 300, 20, 16
CELLS = {  # activation, σ_w: ln of the squared norm of δ at layer 1 ÷ layer 20; of relu with the drift of this width
    ("relu", 1.0): -13.33,
    ("relu", 1.7): 6.84,
    ("tanh", 1.0): -3.27,
    ("erf", 1.9): 7.81,
    ("sigmoid", 1.0): -55.09,
    ("selu", 1.0): 1.31,
    ("elu", math.sqrt(2)): 3.33,
    ("gelu", math.sqrt(2)): -9.03,
    ("silu", math.sqrt(2)): -11.57,
    ("softplus", 1.0): -23.57,
}
# ln of the squared norm, per layer: three standard errors of the mean, and the drift of finite width
MARGIN = 3 * math.sqrt(5 / (WIDTH * SEEDS * LAYERS)) + 0.02


def measure(study: Study) -> list[Check]:
    """One check per cell, the mean over 16 seeds."""
    return [
        near(
            f"{name}, σ_w = {sigma:.3g}: ln δ², layer 1 ÷ 20",
            published,
            _change(cell(study, name, sigma)),
            absolute=MARGIN * (LAYERS - 1),
        )
        for (name, sigma), published in CELLS.items()
    ]


def cell(study: Study, name: str, sigma: float) -> "RunResult":
    """The network of an activation and a σ_w."""
    (run,) = study.run(
        f"depth={LAYERS - 1}",
        f"width={WIDTH}",
        f"activation={name}",
        "initializer=small_normal",
        f"initializer.std={sigma / math.sqrt(WIDTH)}",
        "data=gaussian",
        "data.train=256",  # each example is evaluated once
        "data.test=16",
        f"data.shape=[{round(WIDTH / sigma**2)}]",
        "batch_size=1",
        "steps=0",
        f"seeds={SEEDS}",
        "probe=[preactivation]",
    )
    return run


def _change(run: "RunResult") -> float:
    return float(np.mean(2 * np.log(ratios(run, "log10_backward_z", 0, LAYERS - 1))))
