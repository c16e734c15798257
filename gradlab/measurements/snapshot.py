"""The snapshots' inputs and their family. A snapshot is a probe with a program of its own, run at evaluations."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

from gradlab.measurements.columns import Column, require_columns
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.family import Family
from gradlab.parts.optimizers.contract import Stability
from gradlab.recipe.bounds import Flag, Size
from gradlab.recipe.errors import RecipeError


class RecurrentKernel(NamedTuple):
    """A recurrent kernel of one layer, whose square blocks (one per gate) have these names ("" for a single one)."""

    layer: int
    names: tuple[str, ...]
    value: Array  # (units, gates·units)


class LayerAttention(NamedTuple):
    """The attention of one layer: its number of heads, whether it is causal, and Q and K."""

    layer: int
    heads: int
    causal: bool
    query: Array  # (examples, time, units)
    key: Array


class SnapshotInputs(NamedTuple):
    """One seed's network between two steps of training, with the fixed batch of training examples.

    All functions are those of training: batch normalization uses the statistics of the batch, and there is dropout, the
    same in every call with equal shapes. None changes the scale of the loss (loss_scale).
    """

    params: Tree  # by path, as `hidden/linear/kernel`; the leaves of a stack have a layer axis first
    loss: Callable[[Tree], Array]  # parameters -> mean data loss on the fixed batch, ()
    recurrent_kernels: list[RecurrentKernel]
    stacked_axes: StackedAxes
    x: Array  # (examples, …), the fixed batch
    y: Array  # (examples,), (examples, time) or (examples, outputs)
    outputs: Callable[[Tree], Array]  # parameters -> the network's outputs for the fixed batch
    loss_of_outputs: Callable[[Array], Array]  # outputs for the fixed batch -> mean data loss, ()
    loss_rule: Callable[[Array, Array], Array]  # (outputs, targets) of some examples -> a loss for each
    heads: tuple[int, ...]  # of several tasks in one: how many of the outputs belong to each
    mean_loss: Callable[
        [Tree, Array, Array], Array
    ]  # (parameters, x, y) -> the mean data loss of any examples, ()
    # (parameters, x) -> h_l of every layer, one array (examples, …) each, differentiable
    signals: Callable[[Tree, Array], list[Array]]
    # (parameters, h_0) -> h_L: from the first block's output to that of the last but one
    hidden: Callable[[Tree, Any], Any]
    first_hidden: Any  # h_0 of the fixed batch
    attention: Callable[
        [], list[LayerAttention]
    ]  # () -> that of every layer that has one, on the fixed batch
    layers_of: dict[str, range]  # by path of a parameter: its layers, one each along the axis of a stack
    kernels: frozenset[str]  # the paths of the kernels
    layers: int
    has_batch_statistics: bool  # whether an example's output depends on the others of its batch
    accumulate: int  # micro-batches of a step
    optimizer: Any  # the optimizer's state
    stability: Stability | None  # how curved the loss may be for it, None where that is not known
    learning_rate: Array  # of the step that would follow: peak rate times schedule factor, ()
    step: Array  # steps made, ()
    key: Array  # a random key, of this seed and step


class Snapshot(NamedTuple):
    """The columns that a snapshot fills in the rows of the fixed batch, and how they are computed.

    compute: traced into a program of its own. It returns by column: () for a column of steps, (layers,) for one of
        layers, for one of parameters a tree by path with one value per layer, for one of notes values by
        (layer, name inside the column), and for a vector (layers, size). It raises RecipeError where the network has
        nothing to measure; where the probe is `optional`, it is left out then.
    finish: on the host, from what `compute` returned (then any tree, of NumPy arrays) to these columns, for what JAX
        cannot compute; None: `compute` has returned them. Where `compute` returns no array there is nothing to do.
    every: it is taken at the evaluations whose step is a multiple, and at that after the last step.
    refuses: whether `compute` may raise RecipeError; then it is traced before the run begins.
    """

    columns: tuple[Column, ...]
    compute: Callable[[SnapshotInputs], Any]
    finish: Callable[[Any], dict[str, Any]] | None = None
    every: int = 1
    refuses: bool = False
    optional: bool = False


def checked_snapshot(snapshot: Any, every: int, optional: bool) -> Snapshot:
    """What a maker returned, if it is a snapshot, taken every `every` steps, where possible if `optional`.

    Raises:
        RecipeError: where it is no snapshot.
    """
    if not isinstance(snapshot, Snapshot):
        kind = type(snapshot).__name__
        raise RecipeError(
            f"a function of a snapshot returns a gradlab.measurements.snapshot.Snapshot, not a {kind}"
        )
    require_columns(snapshot.columns, "Snapshot")
    return snapshot._replace(every=every, optional=optional)


snapshot = Family(
    "snapshot",
    "gradlab.measurements.snapshots",
    common={"every": Size, "optional": Flag},
    common_defaults={"every": 1, "optional": False},
    wrap=checked_snapshot,
)
