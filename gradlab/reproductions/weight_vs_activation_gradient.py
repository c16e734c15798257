"""Fifty relu layers with Xavier's weights: what the norms of weight gradients do not show."""

import numpy as np

from gradlab.reproductions.check import Check, Study, between
from gradlab.reproductions.signals import profile

CLAIM = (
    "Norms of weight gradients stay level over depth while the back-propagated gradient vanishes: they do "
    "not show a vanishing gradient."
)
SOURCE = "Glorot & Bengio 2010, AISTATS (figures 7 and 8), for relu"

DEPTH = 50


def measure(study: Study) -> list[Check]:
    """The spread of the weight gradients of fifty equal layers, and of ∂L/∂h; the worst of four seeds."""
    (run,) = study.run(
        f"depth={DEPTH}",
        "width=300",
        "activation=relu",
        "initializer=xavier",
        "data=digits",
        "batch_size=128",
        "steps=0",
        "seeds=4",
        "probe=[backward,gradient]",
    )
    spread = np.max(_decades(profile(run, "log10_gradient")[:, 1 : DEPTH + 1]))
    span = np.min(_decades(profile(run, "log10_backward")[:, : DEPTH + 1]))
    return [
        between("largest ÷ smallest ‖∂L/∂W‖", 2.3 / 1.4, 10**spread, high=3.0),
        between("largest ÷ smallest ‖∂L/∂h‖", 1.2e-1 / 1.9e-9, 10**span, low=1e6),
    ]


def _decades(values: np.ndarray) -> np.ndarray:
    """Largest minus smallest over the layers, (seeds, layers) -> (seeds,)."""
    return np.asarray(np.max(values, axis=1) - np.min(values, axis=1))
