"""An LSTM whose kernels are all but zero: the gradient of its cell falls by σ(b_f) at each time step."""

import math

import numpy as np

from gradlab.reproductions.check import Check, Study, near
from gradlab.reproductions.signals import time_gain

CLAIM = (
    "The bias b_f of an LSTM's forget gates sets how far its gradient reaches: with kernels of zero the "
    "cell's gradient falls by σ(b_f) per time step, a half with a bias of 0."
)
SOURCE = "Gers, Schmidhuber & Cummins 2000, Neural Computation; Jozefowicz et al. 2015, ICML"

BIASES = (0.0, 1.0, 3.0, 5.0)


def measure(study: Study) -> list[Check]:
    """The mean factor per time step of ∂L/∂c over 60 time steps."""
    runs = study.run(
        "model=lstm",
        "width=16",
        f"model.forget_bias={','.join(map(str, BIASES))}",
        "model.radius=1e-12",  # of the recurrent kernels
        "initializer=small_normal",
        "initializer.std=1e-6",  # not zero: no gradient would come back from the output
        "data=adding",
        "data.length=60",
        "batch_size=16",
        "steps=0",
        "probe=[backward]",
    )
    gains = [float(np.mean(time_gain(run, "log10_backward_c"))) for run in runs]
    return [
        near(f"b_f = {bias:g}: ∂c, factor per time step", 1 / (1 + math.exp(-bias)), gain, relative=1e-5)
        for bias, gain in zip(BIASES, gains, strict=True)
    ]
