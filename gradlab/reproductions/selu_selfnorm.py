"""A hundred SELU layers with LeCun's weights: level forward, and a mild explosion backward."""

import numpy as np

from gradlab.reproductions.check import Check, Study, between, within_factor
from gradlab.reproductions.signals import profile, ratios

CLAIM = (
    "SELU keeps mean 0 and variance 1 over any depth; mean-field theory adds that the gradient grows by "
    "1.035 per layer, a factor of 32 over a hundred."
)
SOURCE = "Klambauer et al. 2017, NeurIPS; the gradient by the theory of Schoenholz et al. 2017"

DEPTH = 100


def measure(study: Study) -> list[Check]:
    """Mean and variance of layers 50 to 100, the worst of four seeds, and the growth of the gradient."""
    (run,) = study.run(
        f"depth={DEPTH}",
        "width=500",
        "activation=selu",
        "initializer=lecun",
        "data=gaussian",
        "data.shape=[500]",
        "batch_size=64",
        "steps=0",
        "seeds=4",
        "probe=[preactivation,moments]",
    )
    mean, variance = (profile(run, column)[:, 50 : DEPTH + 1] for column in ("mean", "var"))
    growth = np.exp(np.mean(np.log(ratios(run, "log10_backward_z", 0, DEPTH))))
    return [
        between("largest |mean|, layers 50–100", 0.0, np.max(np.abs(mean)), high=0.05),
        between("smallest variance, layers 50–100", 1.0, np.min(variance), low=0.9, high=1.1),
        between("largest variance, layers 50–100", 1.0, np.max(variance), low=0.9, high=1.1),
        within_factor("δ, layer 1 ÷ 101", 31.7, growth, 1.5),
    ]
