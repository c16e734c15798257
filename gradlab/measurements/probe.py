"""The probes' inputs and their family. A probe answers one question, inside the compiled step."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column, require_columns
from gradlab.numerics.norms import Norms
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.family import Family
from gradlab.recipe.bounds import Flag, Size
from gradlab.recipe.errors import RecipeError

Columns = dict[str, Array]
# by column: an array (layers,) or (), or for a column of parameters one value per layer of each parameter
UpdateColumns = dict[str, Any]


class BlockSignal(NamedTuple):
    """The forward pass at one block: its output h (examples first, units last), φ' and max |φ'| of its activation.

    `slope` has the shape of the activation's input, and is None where the block has no activation. `max_slope` is
    None where the activation does not saturate (relu, linear) or φ' has no bound. `metrics` are the block's inner
    measures by name.
    """

    h: Array
    slope: Array | None
    max_slope: float | Array | None
    metrics: Mapping[str, Array] = MappingProxyType({})


class BackwardNorms(NamedTuple):
    """What the taps between the blocks measured, as log2 of true norms; entry l belongs to layer l."""

    signal: Array  # ‖∂L/∂h_l‖, (layers,)
    # ‖∂L/∂z_l‖ at the pre-activation, (layers,); meaningless where the block has none: such a probe is `active`
    preactivation: Array
    log2_sqrt_terms: (
        Array | float
    )  # log2 √B, B the number of terms in the mean loss: to be added to each norm
    time: list[Array]  # for each block with time steps: ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖, (layers, 2, time steps)


class UpdateSignal(NamedTuple):
    """One update. Trees are by path, as `hidden/linear/kernel`; the leaves of a stack have a layer axis first.

    No update follows a row of the fixed batch and the last row: there `direction` is that of an update which is not
    made, and a column that is computed from it declares `needs_update`.
    """

    params: Tree
    grads: Tree  # of the data loss, before penalty and clip
    norms: Norms  # of `grads`, as float32 holds them
    true_norms: Tree  # log2 of the true norms of `grads`, beyond float32's range
    direction: Tree  # Δθ = −step_size·direction
    step_size: Array  # ()
    learning_rate: Array  # (): peak learning rate times schedule factor
    stacked_axes: StackedAxes
    layers_of: dict[str, range]  # by path: the layers that the parameter belongs to, several of a stack
    kernels: frozenset[str]  # the paths of the kernels
    layers: int
    loss: Array  # mean data loss, ()
    optimizer: Any  # its state at θ_t, before this update: a tree whose leaves with the parameters' paths are moments

    @property
    def log2_step_size(self) -> Array:
        """log2 of the step size's absolute value, ()."""
        return jnp.log2(jnp.abs(self.step_size))


class Probe(NamedTuple):
    """The columns that a probe fills, and the function that computes them: exactly one of three is given.

    A maker returns a probe, or a tuple of probes that are asked for under one name.

    signal: called with every block's output, inside the forward pass, and returns scalars; a vector as (size,).
    backward: called with the taps' record, and returns (layers,).
    update: called with the update; returns () for a column of steps, (layers,) for one of layers, and for one of
        parameters a tree by path with one value per layer. A vector is (layers, size); with over_kernels="sum" it is a
        tree by path of the kernels, (size,) or of a stack (layers, size).
    init: of an `update` with a state: the parameters at the start -> its state, a tree of arrays whose shapes and
        dtypes stay. `update` is then called with (update, state) and returns (columns, next state). The state changes
        where the probe measures a row of training; what it returns for the fixed batch and the last row is dropped.
    active: its columns of layers are null for a block without an activation, and `signal` is not called for it.
    every: it measures the rows whose step is a multiple, those of the fixed batch, and the row after the last step.
    needs: the last part of the path of a parameter that the network must have, as `embedding`, "" for none; where it is
        `optional` its columns are null then, else the recipe is refused.
    """

    columns: tuple[Column, ...]
    signal: Callable[[BlockSignal], Columns] | None = None
    backward: Callable[[BackwardNorms], Columns] | None = None
    update: Callable[..., Any] | None = None
    init: Callable[[Tree], Any] | None = None
    active: bool = False
    every: int = 1
    needs: str = ""
    optional: bool = False


def checked_probes(probes: Any, every: int, optional: bool) -> tuple[Probe, ...]:
    """What a maker returned, if it is a probe or several, each for every `every` steps, where possible if `optional`.

    Raises:
        RecipeError: where one is no probe, or has no columns of its kind.
    """
    several = type(probes) is tuple and probes
    return tuple(_checked(probe, every, optional) for probe in (probes if several else (probes,)))


def _checked(probe: Any, every: int, optional: bool) -> Probe:
    if not isinstance(probe, Probe):
        raise RecipeError(
            f"a function of a probe returns a gradlab.measurements.probe.Probe, not a {type(probe).__name__}"
        )
    require_columns(probe.columns, "Probe")
    if sum(function is not None for function in (probe.signal, probe.backward, probe.update)) != 1:
        raise RecipeError("a probe has exactly one of signal, backward and update")
    allowed = ["layer"] if probe.update is None else ["layer", "parameter", "step"]
    allowed += [] if probe.backward else ["vector"]
    for column in probe.columns:
        if column.kind not in allowed:
            raise RecipeError(
                f"the column {column.name} of a probe has kind={column.kind!r}, not {' or '.join(allowed)}"
            )
    if probe.init is not None and probe.update is None:
        raise RecipeError(
            "only a probe of the update has a state; leave init out, or compute its columns in update"
        )
    return probe._replace(every=every, optional=optional)


probe = Family(
    "probe",
    "gradlab.measurements.probes",
    common={"every": Size, "optional": Flag},
    common_defaults={"every": 1, "optional": False},
    wrap=checked_probes,
)
