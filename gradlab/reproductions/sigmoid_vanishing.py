"""Fifty sigmoid layers: how much gradient is left, and that float32 does not turn what is left into zero."""

import math

import numpy as np

from gradlab.reproductions.check import Check, Study, near
from gradlab.reproductions.signals import log_factors, profile, ratios

CLAIM = (
    "The gradient of a deep sigmoid network vanishes: with Xavier's weights each layer multiplies its norm "
    "by 0.236, so that 4e-32 of it is left after 50 layers."
)
SOURCE = "Glorot & Bengio 2010, AISTATS; rate by Schoenholz et al. 2017, ICLR"

DEPTH = 50  # hidden blocks after the input block
FACTOR, MARGIN = 0.2361, 0.005  # of the norm, per layer


def measure(study: Study) -> list[Check]:
    """The factor per layer, the whole fall, and the norm of the first layer's weight gradient, over four seeds."""
    (run,) = study.run(
        f"depth={DEPTH}",
        "width=128",
        "activation=sigmoid",
        "initializer=xavier",
        "data=gaussian",
        "data.shape=[128]",
        "batch_size=32",
        "steps=0",
        "seeds=4",
        "probe=[preactivation,gradient]",
    )
    factor = np.exp(log_factors(run, "log10_backward_z", 5, DEPTH - 3) / 2)
    fall = np.log10(ratios(run, "log10_backward_z", 0, DEPTH))
    first = profile(run, "log10_gradient")[:, 0]
    # what the margin of a factor allows over all layers
    margin = DEPTH * math.log10(1 + MARGIN / FACTOR)
    return [
        near("factor of the norm per layer", FACTOR, float(np.mean(factor)), absolute=MARGIN),
        near("log10 of δ, layer 1 ÷ 51", math.log10(3.99e-32), float(np.mean(fall)), absolute=margin),
        near("log10 ‖∂W‖, layer 1", -32.0, float(np.mean(first)), absolute=1.0),
    ]
