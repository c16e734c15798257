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

LINEAR = {0.9: 0.9, 1.0: 1.0, 1.1: 1.1}  # ρ: the factor per time step
BOUNDED, EXPLODING = (0.5, 0.9, 1.0), 1.5  # ρ of tanh networks
STEPS = 99  # between the first and the last of a hundred time steps


def measure(study: Study) -> list[Check]:
    """The factor per time step: equal to ρ if linear, at most ρ with tanh (the largest of three seeds)."""
    runs = study.run("experiment=rnn_spectral_radius", "probe=[backward]")
    networks = {(run.recipe["activation"]["name"], run.recipe["model"]["radius"]): run for run in runs}
    linear = ((rho, factor, _mean_gain(networks["linear", rho])) for rho, factor in LINEAR.items())
    tanh = ((rho, _largest_gain(networks["tanh", rho])) for rho in BOUNDED)
    decades = STEPS * math.log10(np.min(time_gain(networks["tanh", EXPLODING])))
    return [
        *(near(f"linear, ρ = {rho}: factor per step", factor, gain, relative=1e-5) for rho, factor, gain in linear),
        *(between(f"tanh, ρ = {rho}: factor per step, largest of 3 seeds", rho, gain, high=rho) for rho, gain in tanh),
        between(f"tanh, ρ = {EXPLODING}: decades over 99 steps, least of 3 seeds", math.log10(19.7), decades, low=0.0),
    ]  # fmt: skip


def _mean_gain(run: "RunResult") -> float:
    return float(np.mean(time_gain(run)))


def _largest_gain(run: "RunResult") -> float:
    return float(np.max(time_gain(run)))
