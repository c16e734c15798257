"""Schoenholz et al. 2017, figure 5, at the size of a test: which depths of a tanh network can be trained.

ξ is the depth over which the correlation of two inputs decays, 1/|ln χ_c|; near 6ξ the outcome is open, and no number
is checked.
"""

import math

import numpy as np

from gradlab.reproductions.check import Check, Study, between
from gradlab.reproductions.signals import at_end

CLAIM = (
    "A random network can be trained if it is not deeper than about six times the depth scale ξ of its "
    "initialization."
)
SOURCE = "Schoenholz et al. 2017, ICLR (figure 5)"

BIAS = 0.05  # σ_b²
SIX_XI = {
    1.0: 21.8,
    1.4: 64.4,
    1.76: 29470.0,
    2.2: 97.3,
    3.0: 54.3,
}  # by σ_w², from the mean-field theory of tanh
DEPTHS = (10, 25, 50, 100)
PUBLISHED = {  # accuracy on the training set at each depth
    1.0: (0.97, 0.94, 0.10, 0.10),
    1.4: (0.99, 1.00, 1.00, 0.19),
    1.76: (0.99, 1.00, 0.99, 0.83),
    2.2: (0.99, 1.00, 1.00, 0.27),
    3.0: (1.00, 1.00, 0.98, 0.10),
}
TRAINABLE, UNTRAINABLE = 5 / 6, 8 / 6  # of 6ξ
LEARNED, STALLED = 0.8, 0.4  # accuracy


def measure(study: Study) -> list[Check]:
    """The accuracy of the cells of the grid that are below 5ξ or above 8ξ."""
    runs = study.run(
        f"depth={','.join(str(depth - 1) for depth in DEPTHS)}",  # and the input block
        "width=100",
        "activation=tanh",
        "initializer=normal",
        f"initializer.sigma_w={','.join(str(math.sqrt(variance)) for variance in SIX_XI)}",
        f"initializer.sigma_b={math.sqrt(BIAS)}",
        "data=digits",
        "optimizer=momentum",
        "lr=0.001",
        "batch_size=128",
        "steps=600",
        "log.every=300",
        "eval.every=600",
        "probe=[backward]",
    )
    cells = [(index, variance) for index in range(len(DEPTHS)) for variance in SIX_XI]
    checks = [_checks(*cell, at_end(run, "train_accuracy")) for cell, run in zip(cells, runs, strict=True)]
    return [check for some in checks for check in some]


def _checks(index: int, variance: float, accuracy: np.ndarray) -> list[Check]:
    depth, limit = DEPTHS[index], SIX_XI[variance]
    quantity = f"σ_w² = {variance:g}, {depth} layers ({depth / limit:.2g} of 6ξ): accuracy"
    published, measured = PUBLISHED[variance][index], float(np.mean(accuracy))
    if depth < TRAINABLE * limit:
        return [between(quantity, published, measured, low=LEARNED)]
    return [between(quantity, published, measured, high=STALLED)] if depth > UNTRAINABLE * limit else []
