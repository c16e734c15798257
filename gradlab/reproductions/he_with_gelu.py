"""He's initialization behind GELU and SiLU, beside the one point in the plane of variances where they neither shrink.

With He's weights the pre-activations of the first layer have variance 1, where the recursion begins: as many inputs as
half the width. One example, because the largest gradients of a batch make up its norm, and these depend on the length
of the input.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, between, within_factor
from gradlab.reproductions.signals import ratios

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "He's initialization is made for relu: over 50 layers with GELU or SiLU the gradient falls by a factor "
    "of millions; at their half-stable critical point it does not."
)
SOURCE = "Roberts, Yaida & Hanin 2022, Principles of Deep Learning Theory, section 5.3.4"

WIDTH, DEPTH = 500, 50
NETWORK = (
    f"depth={DEPTH}",
    f"width={WIDTH}",
    "data=gaussian",
    "batch_size=1",
    "steps=0",
    "seeds=8",
    "probe=[preactivation]",
)
GELU, SILU = "activation=gelu", "activation=silu"
HE = {GELU: 2.4e-7, SILU: 6.6e-8}  # norm of δ at layer 1 ÷ layer 51
CRITICAL = {GELU: (1.98305826, 0.17292239), SILU: (1.98800468, 0.55514317)}  # σ_w², σ_b²


def measure(study: Study) -> list[Check]:
    """The ratio with both initializations, for both activations; means of the logarithm over eight seeds."""
    checks = []
    for activation, ratio in HE.items():
        name = activation.partition("=")[2]
        checks.append(within_factor(f"{name}, He: δ, layer 1 ÷ 51", ratio, _he(study, activation), 2.0))
        critical = _critical(study, activation, *CRITICAL[activation])
        checks.append(between(f"{name}, half-stable point: δ, layer 1 ÷ 51", 1.0, critical, low=0.02))
    return checks


def _he(study: Study, activation: str) -> float:
    (run,) = study.run(
        *NETWORK,
        activation,
        "initializer=small_normal",
        f"initializer.std={math.sqrt(2 / WIDTH)}",
        f"data.shape=[{WIDTH // 2}]",
    )
    return _ratio(run)


def _critical(study: Study, activation: str, weight: float, bias: float) -> float:
    (run,) = study.run(
        *NETWORK,
        activation,
        "initializer=normal",
        f"initializer.sigma_w={math.sqrt(weight)}",
        f"initializer.sigma_b={math.sqrt(bias)}",
        f"data.shape=[{WIDTH}]",
    )
    return _ratio(run)


def _ratio(run: "RunResult") -> float:
    return float(np.exp(np.mean(np.log(ratios(run, "log10_backward_z", 0, DEPTH)))))
