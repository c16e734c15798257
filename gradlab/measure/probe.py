"""The probes' inputs and their family. A probe answers one question, inside the compiled step."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from jax import Array

from gradlab.numerics.norms import Norms
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.family import Family
from gradlab.recipe.errors import RecipeError

probe = Family("probe", "gradlab.measure.probes")
Columns = dict[str, Array]
PerParameter = dict[str, dict[str, Array]]  # column -> parameter -> one value per layer
T = TypeVar("T")


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
    """The taps' measurements as log2 of true norms; entry l belongs to block l of the unrolled chain."""

    signal: Array  # ‖∂L/∂h_l‖, (layers,)
    preactivation: Array  # ‖∂L/∂z_l‖ at the pre-activation, (layers,); meaningless where the block has none
    half_log2_terms: Array | float  # log2 √B, B the number of terms in the mean loss
    time: list[Array]  # for each block with time steps: ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖, (layers, 2, time steps)


class UpdateSignal(NamedTuple):
    """One update, the input of a parameter probe. Trees are by path; the leaves of a stack have a layer axis first."""

    params: Tree
    grads: Tree  # of the data loss, before penalty and clip
    norms: Norms  # of `grads`, as float32 holds them
    true_norms: Tree  # log2 of the true norms of `grads`, beyond float32's range
    direction: Tree  # Δθ = −step_size·direction
    step_size: Array  # ()
    stacked_axes: StackedAxes


class Probe(NamedTuple):
    """The columns that a probe fills, and the function that computes them: exactly one of three is given.

    signal: called with every block's output, inside the forward pass, and returns scalars; probes with `active`
    are called only for blocks with an activation.
    backward: called with the taps' record, and returns (layers,).
    update: called with the update, and returns one value per layer of each parameter.
    """

    columns: tuple[str, ...]
    signal: Callable[[BlockSignal], Columns] | None = None
    backward: Callable[[BackwardNorms], Columns] | None = None
    update: Callable[[UpdateSignal], PerParameter] | None = None
    active: bool = False


def in_order(probe: Probe, returned: Mapping[str, T]) -> list[T]:
    """What a probe returned, in the order of its columns; called while a step is traced.

    Raises:
        RecipeError: where the names returned are not those declared: each would be stored nowhere or hold nothing.
    """
    if returned.keys() != set(probe.columns):
        raise RecipeError(
            f"a probe declares the columns {', '.join(probe.columns)} and returns {', '.join(returned)}; "
            "the two must be the same names"
        )
    return [returned[column] for column in probe.columns]
