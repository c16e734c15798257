"""The snapshots' inputs and their family. A snapshot is a program of its own on the parameters, run at evaluations."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

from gradlab.measurements.columns import Column, require_columns
from gradlab.numerics.tree import Tree
from gradlab.parts.family import Family
from gradlab.recipe.bounds import Size
from gradlab.recipe.errors import RecipeError


class RecurrentKernel(NamedTuple):
    """A recurrent kernel of one layer, whose square blocks (one per gate) have these names ("" for a single one)."""

    layer: int
    names: tuple[str, ...]
    value: Array  # (units, gates·units)


class SnapshotInputs(NamedTuple):
    """One seed's network between two steps of training.

    loss: the mean data loss on the fixed batch of training examples as a function of the parameters, (). It is that of
        training: batch normalization uses the statistics of the batch, and there is dropout, the same in every call.
    """

    params: Tree  # by path, as `hidden/linear/kernel`; the leaves of a stack have a layer axis first
    loss: Callable[[Tree], Array]
    recurrent_kernels: list[RecurrentKernel]


class Snapshot(NamedTuple):
    """The columns that a snapshot fills in the rows of the fixed batch, and how they are computed.

    compute: traced into a program of its own. It returns by column: () for a column of steps, (layers,) for one of
        layers, for one of parameters a tree by path with one value per layer, and for one of notes values by
        (layer, name inside the column).
    finish: on the host, from what `compute` returned (then any tree, of NumPy arrays) to these columns, for what JAX
        cannot compute; None: `compute` has returned them. Where `compute` returns no array there is nothing to do.
    every: it is taken at the evaluations whose step is a multiple, and at that after the last step.
    """

    columns: tuple[Column, ...]
    compute: Callable[[SnapshotInputs], Any]
    finish: Callable[[Any], dict[str, Any]] | None = None
    every: int = 1


def checked_snapshot(snapshot: Any, every: int) -> Snapshot:
    """What a maker returned, if it is a snapshot, taken every `every` steps.

    Raises:
        RecipeError: where it is no snapshot.
    """
    if not isinstance(snapshot, Snapshot):
        kind = type(snapshot).__name__
        raise RecipeError(
            f"a function of a snapshot returns a gradlab.measurements.snapshot.Snapshot, not a {kind}"
        )
    require_columns(snapshot.columns, "Snapshot")
    return snapshot._replace(every=every)


snapshot = Family(
    "snapshot",
    "gradlab.measurements.snapshots",
    common={"every": Size},
    common_defaults={"every": 1},
    wrap=checked_snapshot,
)
