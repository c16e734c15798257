"""Batch normalization before the activation: by how much the gradient grows per layer at initialization."""

import numpy as np

from gradlab.reproductions.check import Check, Study, near
from gradlab.reproductions.signals import log_factors

CLAIM = (
    "Batch normalization makes the gradient of a deep network explode whatever its initialization: its "
    "squared norm grows by π/(π − 1) per relu layer for large batches, and most slowly for the linear "
    "network."
)
SOURCE = "Yang et al. 2019, ICLR"

CELLS = {  # activation, batch, σ_w: squared factor per layer for this batch, from the paper's mean field
    ("relu", 64, 1.0): 1.4931,
    ("relu", 64, 0.3): 1.4931,
    ("relu", 8, 1.0): 1.7927,
    ("relu", 256, 1.0): 1.4731,
    ("linear", 5, 1.0): 1.5,
    ("linear", 8, 1.0): 1.2,
    ("linear", 64, 1.0): 1.0164,
    ("tanh", 32, 1.0): 1.2085,
}
DEPTH = 19
TOLERANCE = 0.04  # relative


def measure(study: Study) -> list[Check]:
    """The squared factor per layer of each cell, between the third layers from both ends, over four seeds."""
    checks = []
    for (activation, batch, sigma), published in CELLS.items():
        (run,) = study.run(
            f"depth={DEPTH}",
            "width=500",
            f"activation={activation}",
            "normalization=batch",
            "initializer=normal",
            f"initializer.sigma_w={sigma}",
            "data=gaussian",
            "data.train=256",  # each example is evaluated once
            "data.test=16",
            "data.shape=[500]",
            f"batch_size={batch}",
            "steps=0",
            "seeds=4",
            "probe=[backward]",
        )
        factor = np.exp(np.mean(log_factors(run, "log10_backward", 3, DEPTH - 2)))
        checks.append(
            near(f"{activation}, batch {batch}, σ_w = {sigma:g}", published, factor, relative=TOLERANCE)
        )
    return checks
