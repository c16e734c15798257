"""He et al. 2015: the factor of the gradient's variance per relu layer, for three variances of the weights."""

import math

import numpy as np

from gradlab.reproductions.check import Check, Study, near
from gradlab.reproductions.signals import log_factors

CLAIM = (
    "A relu layer multiplies the variance of the gradient by n·Var W/2: a half with Xavier's weights, 1 with "
    "He's, 2 with twice the variance of these."
)
SOURCE = "He et al. 2015, ICCV"

WIDTH, DEPTH = 256, 49
DRIFT = -5 / (2 * WIDTH)  # of the mean of ln over networks of this width, per layer
VARIANCES = (1.0, 2.0, 4.0)  # n·Var W


def measure(study: Study) -> list[Check]:
    """ln of the factor per layer, between the third layers from both ends, over 16 seeds."""
    runs = study.run(
        f"depth={DEPTH}",
        f"width={WIDTH}",
        "activation=relu",
        "initializer=normal",
        f"initializer.sigma_w={','.join(str(math.sqrt(variance)) for variance in VARIANCES)}",
        "data=gaussian",
        f"data.shape=[{WIDTH}]",
        "batch_size=64",
        "steps=0",
        "seeds=16",
        "probe=[backward]",
    )
    measured = [np.mean(log_factors(run, "log10_backward", 3, DEPTH - 3)) for run in runs]
    return [
        near(f"n·Var W = {variance:g}: ln per layer", math.log(variance / 2) + DRIFT, slope, absolute=0.02)
        for variance, slope in zip(VARIANCES, measured, strict=True)
    ]
