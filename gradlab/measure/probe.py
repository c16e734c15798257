"""What a probe may see, and the family of the probes. A probe asks one question, inside the compiled step."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from jax import Array

from gradlab.numerics.norms import Norms
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.family import Family

probe = Family("probe", "gradlab.measure.probes")
Columns = dict[str, Array]
PerParameter = dict[str, dict[str, Array]]  # column -> parameter -> one value per layer


class BlockSignal(NamedTuple):
    """The forward pass at one block: its output h (examples first, units last), φ' and max |φ'| of its activation.

    `slope` is None where the block has no activation; `metrics` are the block's own inner measures by name.
    """

    h: Array
    slope: Array | None
    max_slope: float | Array | None
    metrics: Mapping[str, Array] = MappingProxyType({})


class BackwardNorms(NamedTuple):
    """The taps' measurements as log2 of true norms; entry l belongs to block l of the unrolled chain."""

    signal: Array  # ‖∂L/∂h_l‖, (layers,)
    preactivation: Array  # the same at the pre-activation, (layers,); meaningless where the block has none
    half_log2_batch: Array | float  # log2 √B
    time: list[Array]  # of each block with time steps: ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖, (layers, 2, time steps)


class Moment(NamedTuple):
    """One update: what a parameter probe sees. Trees are by path; a stack's leaves keep their layer axis."""

    params: Tree
    grads: Tree  # of the data loss, before penalty and clip
    norms: Norms  # of `grads`, as float32 holds them
    true_norms: Tree  # log2 of the same norms, beyond float32's range
    direction: Tree  # Δθ = −rate·direction
    rate: Array
    stacked_axes: StackedAxes


class Probe(NamedTuple):
    """The columns a probe fills, and how: exactly one of the three questions is given.

    signal: asked of every block's output, inside the forward pass; `active` ones only where there is an activation.
    backward: asked of the taps' record, one value per layer.
    moment: asked of the update, one value per parameter and layer.
    """

    columns: tuple[str, ...]
    signal: Callable[[BlockSignal], Columns] | None = None
    backward: Callable[[BackwardNorms], Columns] | None = None
    moment: Callable[[Moment], PerParameter] | None = None
    active: bool = False
