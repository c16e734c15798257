"""Recurrent networks with an orthogonal matrix times ρ: what is left of the gradient after a hundred time steps."""

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, between, near
from gradlab.reproductions.signals import time_gain

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "A linear recurrent network multiplies the gradient by its spectral radius ρ at each time step back; "
    "with tanh the gradient vanishes at least as fast where the largest singular value is below 1, and can "
    "explode only above."
)
SOURCE = "Pascanu, Mikolov & Bengio 2013, ICML"

LINEAR = (0.9, 1.0, 1.1)  # ρ
BOUNDED = (0.5, 0.9, 1.0)
EXPLODING = 1.5
LENGTH = 100
NETWORK = (
    "model=rnn",
    "data=adding",
    f"data.length={LENGTH}",
    "width=64",
    "batch_size=32",
    "steps=0",
    "seeds=3",
    "probe=[backward]",
)


def measure(study: Study) -> list[Check]:
    """The factor per time step: equal to ρ if linear, at most ρ with tanh (the largest of three seeds)."""
    linear = study.run(*NETWORK, "activation=linear", f"model.radius={','.join(map(str, LINEAR))}")
    tanh = study.run(*NETWORK, "activation=tanh", f"model.radius={','.join(map(str, (*BOUNDED, EXPLODING)))}")
    *bounded, exploding = tanh
    decades = (LENGTH - 1) * math.log10(np.min(time_gain(exploding)))
    return [
        *(near(f"linear, ρ = {rho}: ∂h, factor per time step", rho, gain, relative=1e-5)
          for rho, gain in zip(LINEAR, map(_mean_gain, linear), strict=True)),
        *(between(f"tanh, ρ = {rho}: ∂h, factor per time step, largest of 3 seeds", rho, gain, high=rho)
          for rho, gain in zip(BOUNDED, map(_largest_gain, bounded), strict=True)),
        between(f"tanh, ρ = {EXPLODING}: decades over 99 steps, least of 3 seeds", math.log10(19.7), decades, low=0.0),
    ]  # fmt: skip


def _mean_gain(run: "RunResult") -> float:
    return float(np.mean(time_gain(run)))


def _largest_gain(run: "RunResult") -> float:
    return float(np.max(time_gain(run)))
