"""Layer and RMS normalization before and after relu: the squared factor of the gradient per layer."""

import math

import numpy as np

from gradlab.reproductions.check import Check, Study, near
from gradlab.reproductions.signals import log_factors

CLAIM = (
    "Where a normalization stands matters more than which one it is: layer normalization before relu keeps "
    "the gradient level, after relu its square grows by π/(π − 1) per layer; RMS normalization keeps it "
    "level in both places."
)
SOURCE = "mean field of Yang et al. 2019, ICLR, for layer and RMS normalization"

GROWS = math.pi / (math.pi - 1)
CELLS = {  # the squared factor per layer
    ("normalization=layer", "normalization.place=before"): 1.0,
    ("normalization=layer", "normalization.place=after"): GROWS,
    ("normalization=rms", "normalization.place=before"): 1.0,
    ("normalization=rms", "normalization.place=after"): 1.0,
}
DEPTH = 19
TOLERANCE = 0.04  # relative


def measure(study: Study) -> list[Check]:
    """The squared factor per layer of each cell, between the third layers from both ends, over eight seeds."""
    checks = []
    for (norm, place), published in CELLS.items():
        (run,) = study.run(
            f"depth={DEPTH}",
            "width=500",
            "activation=relu",
            norm,
            place,
            "initializer=he",
            "data=gaussian",
            "data.shape=[500]",
            "batch_size=32",
            "steps=0",
            "seeds=8",
            "probe=[backward]",
        )
        factor = np.exp(np.mean(log_factors(run, "log10_backward", 3, DEPTH - 2)))
        quantity = f"{norm.partition('=')[2]} normalization {place.partition('=')[2]} relu"
        checks.append(near(quantity, published, factor, relative=TOLERANCE))
    return checks
