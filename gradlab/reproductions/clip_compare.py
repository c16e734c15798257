"""A recurrent network whose gradient explodes, trained with and without a clip by norm."""

import numpy as np

from gradlab.reproductions.check import Check, Study, between, near
from gradlab.reproductions.signals import at_end

CLAIM = (
    "Training of a recurrent network whose gradient explodes diverges, and a clip of the gradient's norm "
    "lets it learn."
)
SOURCE = "Pascanu, Mikolov & Bengio 2013, ICML"

SEEDS = 3
CHANCE = 1 / 6  # mean squared error of a constant prediction
TRAINING = (
    "model=rnn",
    "activation=tanh",
    "model.radius=1.5",
    "width=32",
    "data=adding",
    "data.length=20",
    "optimizer=sgd",
    "lr=0.3",
    "batch_size=32",
    "steps=3000",
    f"seeds={SEEDS}",
    "log.every=1000",
    "eval.every=1000",
    "probe=[backward]",
)


def measure(study: Study) -> list[Check]:
    """How many of three seeds end with a loss that is not finite without a clip, and the loss of the others with it."""
    (unclipped,) = study.run(*TRAINING, "clip=none")
    (clipped,) = study.run(*TRAINING, "clip=norm", "clip.threshold=0.3")
    diverged = float(np.sum(~np.isfinite(at_end(unclipped, "loss"))))
    worst = np.max(at_end(clipped, "train_loss"))
    return [
        near("without a clip: diverged seeds, of 3", float(SEEDS), diverged),
        between("clip by norm: train loss, largest of 3 seeds", (0.0, CHANCE), worst, high=CHANCE),
    ]
