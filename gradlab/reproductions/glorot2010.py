"""Glorot & Bengio 2010: five tanh layers of 1000 units, without training (figures 6 to 8 of the paper).

The numbers are those of the paper's own recursions at this size, E h² by E tanh² and E δ² by E sech⁴ of Gaussian
pre-activations, since its figures have none.
"""

from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, near
from gradlab.reproductions.signals import profile, ratios

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "Weights from U(−1/√n, 1/√n) make activations and back-propagated gradients shrink with depth, while the "
    "weight gradient stays level; the normalized initialization keeps both nearly level."
)
SOURCE = "Glorot & Bengio 2010, AISTATS"

NETWORK = (
    "depth=4",  # and the input block: five layers
    "width=1000",
    "activation=tanh",
    "data=gaussian",
    "data.shape=[1000]",
    "batch_size=200",
    "steps=0",
    "seeds=4",
    "probe=[forward,preactivation,gradient]",
)
TOLERANCE = 0.02  # relative
STANDARD, XAVIER = "initializer=uniform", "initializer=xavier"
ACTIVATIONS = {
    STANDARD: (0.4603, 0.2495, 0.1412, 0.0810, 0.0467),
    XAVIER: (0.6279, 0.4863, 0.4082, 0.3576, 0.3216),
}
BACKWARD = {STANDARD: 0.0832, XAVIER: 0.4098}  # of layer 1 ÷ layer 5
WEIGHT_GRADIENT = {STANDARD: 1.03, XAVIER: 1.15}


def measure(study: Study) -> list[Check]:
    """Standard deviations of five layers, and two ratios, for both initializations."""
    (standard,) = study.run(*NETWORK, STANDARD, f"initializer.scale={1000**-0.5}")
    (xavier,) = study.run(*NETWORK, XAVIER, "initializer.distribution=uniform")
    return [*checks(STANDARD, standard), *checks(XAVIER, xavier)]


def checks(name: str, run: "RunResult") -> list[Check]:
    """What the paper says of one initialization, beside what was measured."""
    label = "standard" if name == STANDARD else "normalized"
    activations = 10 ** np.mean(profile(run, "log10_forward"), axis=0)
    by_layer = enumerate(zip(ACTIVATIONS[name], activations[:5], strict=True), start=1)
    return [
        *(near(f"{label}: std h, layer {n}", a, b, relative=TOLERANCE) for n, (a, b) in by_layer),
        near(f"{label}: δ, layer 1 ÷ 5", BACKWARD[name], _ratio(run, "log10_backward_z"), relative=TOLERANCE),
        near(f"{label}: ∂W, layer 1 ÷ 5", WEIGHT_GRADIENT[name], _ratio(run, "log10_gradient"), relative=TOLERANCE),
    ]  # fmt: skip


def _ratio(run: "RunResult", column: str) -> float:
    return float(np.mean(ratios(run, column, 0, 4)))
