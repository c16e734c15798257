"""f(x) = x⁴ from x = 10 at a learning rate of 0.01: plain, clipped and sign gradient descent, step by step.

x is read from the gradient: its stored logarithm reaches far below the range of float32, as x⁴ does not.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, near

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "Where the curvature grows with the gradient, as of x⁴, gradient descent with a fixed rate diverges from "
    "far away, and clipped gradient descent converges."
)
SOURCE = "Zhang et al. 2020, ICLR"

DESCENT = (
    "model=point",
    "model.start=[10.0]",
    "loss=quartic",
    "data=single",
    "batch_size=1",
    "lr=0.01",
)
PLAIN = (10.0, 30.0, 1050.0, 46303950.0)  # |x − 0.04·x³| again and again


def measure(study: Study) -> list[Check]:
    """|x| after each step, and after 2000 steps."""
    (plain,) = study.run(*DESCENT, "steps=3", "optimizer=sgd", "clip=none")
    (clipped,) = study.run(*DESCENT, "steps=2000", "optimizer=sgd", "clip=norm", "clip.threshold=1")
    # 1000 subtractions of 0.01 from 10 leave the rounding errors of float64
    (sign,) = study.run(*DESCENT, "steps=2000", "optimizer=sign", "clip=none", "dtype=float64")
    return [
        *(
            near(f"gradient descent: |x| after step {step}", published, measured, relative=1e-5)
            for step, (published, measured) in enumerate(zip(PLAIN, _positions(plain), strict=True))
        ),
        near("clip by norm: |x| after 2000 steps", 0.1067, _positions(clipped)[-1], absolute=0.5e-4),
        near("sign of the gradient: |x| after 2000 steps", 1.7e-13, _positions(sign)[-1], absolute=0.05e-13),
    ]


def _positions(run: "RunResult") -> np.ndarray:
    """|x| before each step and after the last one: the gradient is 4·x³."""
    rows = run.steps
    rows = rows[rows["source"] == "batch"].sort_values("step")
    gradient = rows["log10_gradient"].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(10 ** ((gradient - math.log10(4)) / 3))
