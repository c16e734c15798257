"""A thousand convolutions: what is left of the gradient with delta-orthogonal and with Gaussian kernels.

Xiao et al. train 10 000 layers; here nothing is trained, and a thousand layers of eight channels are measured.
"""

import math
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
NETWORK = (
    "model=cnn",
    f"depth={DEPTH}",
    "width=8",
    "model.padding=circular",
    "data=digits",
    "batch_size=8",
    "steps=0",
    "probe=[backward]",
)
CRITICAL = (  # of tanh, as in the paper
    f"initializer.sigma_w={math.sqrt(1.05)}",
    f"initializer.sigma_b={math.sqrt(2.01e-5)}",
)


def measure(study: Study) -> list[Check]:
    """The gradient at the first convolution's input ÷ that at the last one's output, for three networks."""
    (linear,) = study.run(*NETWORK, "activation=linear", "initializer=delta_orthogonal")
    tanh = (*NETWORK, "activation=tanh", "seeds=4", *CRITICAL)
    (orthogonal,) = study.run(*tanh, "initializer=delta_orthogonal")
    (gaussian,) = study.run(*tanh, "initializer=normal")
    return [
        near("linear, delta-orthogonal: ∂h, layer 0 ÷ 1000", 1.0, _ratio(linear), absolute=1e-4),
        between("tanh, delta-orthogonal: ∂h, layer 0 ÷ 1000", 1.0, _ratio(orthogonal), low=0.3, high=3.0),
        between("tanh, Gaussian: ∂h, layer 0 ÷ 1000", 0.0, _ratio(gaussian), high=0.3),
    ]


def _ratio(run: "RunResult") -> float:
    """The geometric mean over seeds."""
    return float(np.exp(np.mean(np.log(ratios(run, "log10_backward", 0, DEPTH)))))
