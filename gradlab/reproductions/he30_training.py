"""He et al. 2015, figure 3, at the size of a test: thirty relu layers learn with He's weights and stall with Xavier's.

The learning rate is part of the experiment: at 0.02 without a clip the network with He's weights is unstable too.
"""

import math

import numpy as np

from gradlab.reproductions.check import Check, Study, between, near
from gradlab.reproductions.signals import at_end

CLAIM = "A relu network of 30 layers converges with He's initialization and stalls with Xavier's."
SOURCE = "He et al. 2015, ICCV (figure 3)"

TRAINING = (
    "depth=29",  # and the input block: thirty layers
    "width=100",
    "activation=relu",
    "data=digits",
    "optimizer=momentum",
    "lr=0.003",
    "clip=norm",
    "clip.threshold=1",
    "batch_size=64",
    "steps=800",
    "seeds=5",
    "log.every=400",
    "eval.every=400",
    "probe=[backward]",
)


def measure(study: Study) -> list[Check]:
    """Loss on the training set and accuracy on the test set after 800 steps: four of five seeds, or all."""
    (he,) = study.run(*TRAINING, "initializer=he")
    (xavier,) = study.run(*TRAINING, "initializer=xavier")
    (small,) = study.run(*TRAINING, "initializer=small_normal", "initializer.std=0.01")
    loss, accuracy = np.sort(at_end(he, "train_loss")), np.sort(at_end(he, "test_accuracy"))
    stalled = np.max(np.abs(at_end(small, "train_loss") - math.log(10)))
    return [
        between("He: train loss, 4th of 5 seeds", (0.09, 0.21), loss[3], high=0.6),
        between("He: test accuracy, 4th of 5 seeds", 0.85, accuracy[1], low=0.7),
        between(
            "Xavier: train loss, lowest of 5", (2.20, 2.30), np.min(at_end(xavier, "train_loss")), low=1.9
        ),
        near("N(0, 0.01²): |train loss − ln 10|, largest of 5", 0.0, stalled, absolute=0.01),
    ]
