"""How far has each parameter moved from where it began?"""

from typing import Any

import jax.numpy as jnp

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.norms import LOG10_2, log2_norms
from gradlab.numerics.tree import Tree


@probe
def distance() -> Probe:
    """log10 of ‖θ − θ₀‖ per layer of each parameter, and log10 of ‖θ − θ₀‖/‖θ₀‖ of the whole network.

    θ₀ are the parameters before the first step; they are the probe's state, as large as the parameters.
    """

    def ask(update: UpdateSignal, start: Tree) -> tuple[UpdateColumns, Any]:
        moved = {path: value - start[path] for path, value in update.params.items()}
        norms = log2_norms(moved, update.stacked_axes)
        whole = norms.global_norm.log2() - log2_norms(start, update.stacked_axes).global_norm.log2()
        columns = {
            "log10_distance": {path: LOG10_2 * value for path, value in norms.leaves.items()},
            "log10_relative_distance": LOG10_2 * whole,
        }
        return columns, start

    columns = (
        Column(
            "log10_distance",
            "log10 of ‖θ − θ_0‖, the distance from the parameters at the start",
            unit="log10",
            kind="parameter",
            over_kernels="norm",
        ),
        Column(
            "log10_relative_distance",
            "log10 of ‖θ − θ_0‖/‖θ_0‖ over all parameters",
            unit="log10",
            kind="step",
        ),
    )
    return Probe(columns, update=ask, init=lambda params: {path: jnp.copy(w) for path, w in params.items()})
