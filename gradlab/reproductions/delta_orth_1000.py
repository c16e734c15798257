"""A thousand convolutions: what is left of the gradient with delta-orthogonal and with Gaussian kernels.

Xiao et al. train 10 000 layers; here nothing is trained, and a thousand layers of eight channels are measured.
"""

from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, between, near
from gradlab.reproductions.signals import ratios

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "With delta-orthogonal kernels signals pass through thousands of convolutions; with Gaussian kernels at "
    "the same critical variances most spatial frequencies decay."
)
SOURCE = "Xiao et al. 2018, ICML"

DEPTH = 1000
EXPERIMENT = (
    "experiment=delta_orthogonal_1000",
    "probe=[backward]",
)  # tanh at the paper's critical variances
LINEAR = (
    "model=cnn",
    f"depth={DEPTH}",
    "width=8",
    "model.padding=circular",
    "activation=linear",
    "initializer=delta_orthogonal",
    "batch_size=8",
    "steps=0",
    "probe=[backward]",
)


def measure(study: Study) -> list[Check]:
    """The gradient at the first convolution's input ÷ that at the last one's output, for three networks."""
    (linear,) = study.run(*LINEAR)
    orthogonal, gaussian = study.run(*EXPERIMENT)
    return [
        near("linear, delta-orthogonal: ∂h, layer 0 ÷ 1000", 1.0, _ratio(linear), absolute=1e-4),
        between("tanh, delta-orthogonal: ∂h, layer 0 ÷ 1000", 1.0, _ratio(orthogonal), low=0.3, high=3.0),
        between("tanh, Gaussian: ∂h, layer 0 ÷ 1000", 0.0, _ratio(gaussian), high=0.3),
    ]


def _ratio(run: "RunResult") -> float:
    """The geometric mean over seeds."""
    return float(np.exp(np.mean(np.log(ratios(run, "log10_backward", 0, DEPTH)))))
