"""Where the edge of chaos is: the critical weight variance of an activation at a bias variance.

No network is run. The published numbers are of a composite Gauss–Legendre quadrature with the kinks at its nodes.
"""

import math

from gradlab.reproductions.check import Check, Study, near
from gradlab.theory.activations import Activation, activation
from gradlab.theory.meanfield import critical_weight

CLAIM = (
    "A random network has a critical line in the plane of weight and bias variance, on which a gradient "
    "neither vanishes nor explodes: χ₁ = σ_w²·E φ′(√q* Z)² = 1."
)
SOURCE = "Poole et al. 2016, NeurIPS; Schoenholz et al. 2017, ICLR (figure 1)"

BIASES = (0.0, 0.0025, 0.05, 0.25, 1.0)  # σ_b²
CRITICAL = {  # σ_w² at each σ_b²
    "tanh": (1.0, 1.26009, 1.76095, 2.40149, 3.44321),
    "erf": (math.pi / 4, 0.987412, 1.37584, 1.88055, 2.71838),
    "selu": (0.47677, 0.67570, 0.90177, 1.10174, 1.31771),
    "elu": (1.0, 1.28113, 1.53372, 1.70593, 1.84410),
    "softsign": (1.0, 1.85246, 3.14125, 4.69253, 7.11514),
    "hard_tanh": (1.0, 1.01779, 1.16554, 1.47173, 2.07271),
}
OPTIONS = {"elu": {"alpha": 1.0}}


def measure(study: Study) -> list[Check]:
    """The critical σ_w² of six activations at five σ_b², to a relative 1e-5."""
    return [
        near(
            f"{name}: σ_w² at σ_b² = {bias:g}", published, critical_weight(_known(name), bias), relative=1e-5
        )
        for name, line in CRITICAL.items()
        for bias, published in zip(BIASES, line, strict=True)
    ]


def _known(name: str) -> Activation:
    return activation({"name": name, **OPTIONS.get(name, {})})
