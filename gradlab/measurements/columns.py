"""Columns of the stored tables: their declarations, and the Parquet schemas that follow from them.

A probe or a snapshot declares its columns in its own file; the columns that every run has are declared here. Unit and
definition travel in the files, so that a reader needs neither this module nor a probe.
"""

import json
import re
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import pyarrow as pa

from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import BOUNDS, FAMILIES

VERSION = 4
MEASURES = b"measures"  # in the metadata of a table: unit and definition of its measures, as JSON
READABLE = (3, 4)  # 3: the same columns, all of them in every run, and no metadata
RESULTS = ("finished", "diverged", "stopped")  # the states of a run that has all its rows
STATES = ("running", *RESULTS, "failed", "interrupted")
TABLE_OF = {
    "layer": "layers",
    "parameter": "parameters",
    "step": "steps",
    "note": "notes",
    "vector": "vectors",
}
BY_MEASURE = ("note", "vector")  # kinds that have rows of their own, named by the column `measure`
OVER_KERNELS = {
    "norm": "of the layer's kernels together",
    "sum": "over the layer's kernels",
    "mean": "over the entries of the layer's kernels",
}


class Column(NamedTuple):
    """A measured column of a stored table.

    In every column null means not measured; in one of log10 −inf means exactly zero.

    kind: "layer", "parameter" or "step": the table with one row for each; "note": one row for each named value inside
        a layer, in the table of notes; "vector": several values of a layer, a row each with their index, in the table
        of vectors.
    unit: "log10", "fraction", "count", or "1" for any other number.
    over_kernels: of a column of parameters, how its values make one for the kernels of a layer, in the table of layers:
        "norm" (of log10 of norms), "sum" or "mean"; "" where they make none. Of a vector "sum", where it is measured of
        kernels.
    is_count: whether its values are whole numbers (int32; the others are float32).
    needs_update: whether it is null in a row that no update follows.
    nan_is_null: whether NaN in it says that there is nothing to measure: it is stored as null.
    size: of a vector, how many values it has. Of one whose unit is "count" the zeros are not stored.
    """

    name: str
    definition: str
    unit: str = "1"
    kind: str = "layer"
    over_kernels: str = ""
    is_count: bool = False
    needs_update: bool = False
    nan_is_null: bool = False
    size: int = 0

    @property
    def field(self) -> pa.Field:
        """The column of a Parquet file, with its unit and its definition as metadata."""
        metadata = {"unit": self.unit, "definition": self.definition}
        return pa.field(self.name, pa.int32() if self.is_count else pa.float32(), metadata=metadata)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its value for one layer."""
        return (self.size,) if self.size else ()

    def of_kernels(self) -> "Column":
        """The column of layers that a column of parameters makes."""
        definition = f"{self.definition}, {OVER_KERNELS[self.over_kernels]}"
        return self._replace(kind="layer", definition=definition)


# Row t is measured at θ_t, before update t. The final row T is measured after the last update and has no update.
# source: `batch` is the training minibatch of the step, `probe` is the fixed batch of training examples.
# layer: 0 the input block, 1…L the hidden blocks, L+1 the output block; h_l is block l's output.
# B is the number of terms in the mean loss: examples, or labelled time steps where each time step has a label.
_i32, _i64 = pa.int32(), pa.int64()
_word = pa.dictionary(pa.int32(), pa.string())
_step_keys = [("seed", _i32), ("step", _i32), ("source", _word)]
_layer_keys = [*_step_keys, ("layer", _i32), ("name", _word)]
KEYS: dict[str, list[tuple[str, pa.DataType]]] = {
    "layers": [*_layer_keys, ("size", _i64)],
    "parameters": [*_layer_keys, ("parameter", _word), ("size", _i64)],
    "steps": _step_keys,
    "times": [
        *_layer_keys,
        ("time", _i32),
    ],  # recurrent networks only; time runs from 1 to T, h_T is the last state
    "notes": [*_layer_keys, ("measure", _word)],
    "vectors": [*_layer_keys, ("measure", _word), ("index", _i32)],
}
TABLES = tuple(KEYS)
OPTIONAL = ("times", "notes", "vectors")  # tables that only some runs have


_step = partial(Column, kind="step")


# what every step has; engine.step.StepColumns computes it
STEPS = (
    _step("phase", "index of the optimizer in use (optimizer=phases), from 0", is_count=True),
    _step("loss", "mean data loss over the batch"),
    _step("penalty", "penalty added to the data loss"),
    _step(
        "learning_rate",
        "learning rate of the step: peak learning rate times schedule factor",
        needs_update=True,
    ),
    _step(
        "log10_gradient",
        "log10 of the global norm of ∂(loss + penalty)/∂θ, by back-propagation at θ",
        unit="log10",
    ),
    _step(
        "log10_unclipped",
        "log10 of the global norm before the clip, of the gradient in use or of the update",
        unit="log10",
    ),
    _step("log10_clipped", "log10 of the same norm after the clip", unit="log10"),
    _step("clip_cosine", "cosine between the clip's input and output; 1 for zeros"),
    _step(
        "clipped",
        "fraction of the entries that the clip acted on (all or none for a clip by global norm; of examples for "
        "per_example; for a chain the mean over its clips, 1 for a dropped step)",
        unit="fraction",
    ),
    _step(
        "weight_zeros",
        "fraction of the penalized parameters that are exactly zero; null without an l1 penalty",
        unit="fraction",
    ),
    _step(
        "evaluations",
        "batch losses evaluated for training before this step; a gradient counts as one",
        unit="count",
    ),
)
_SCALE = _step("scale", "power of two that multiplied the loss before back-propagation (loss_scale)")
_OVERFLOWED = _step(
    "overflowed",
    "1 where the gradient of the scaled loss was not finite and the step was dropped, else 0",
    unit="count",
    is_count=True,
    needs_update=True,
)
LOSS_SCALE = {"none": (), "static": (_SCALE,), "dynamic": (_SCALE, _OVERFLOWED)}  # by loss_scale.kind
# the measures of an evaluation, of which there is one in the row of its step; null between evaluations
SCORES = (
    _step("loss", "data loss on the {part} set, in evaluation mode"),
    _step("accuracy", "fraction of correct labels on the {part} set; null for regression", unit="fraction"),
    _step(
        "balanced_accuracy",
        "mean over classes of the fraction of correct labels (recall) on the {part} set; null for regression",
        unit="fraction",
    ),
    _step(
        "r2",
        "1 − Σ(output − target)²/Σ(target − mean target)² on the {part} set; null for classification",
    ),
)
EVALUATION = tuple(
    score._replace(name=f"{part}_{score.name}", definition=score.definition.format(part=name))
    for part, name in (("train", "training"), ("test", "test"))
    for score in SCORES
)
TIMES = (
    Column("log10_backward", "log10 of √B·‖∂(mean loss)/∂h_t‖_F, along all paths", "log10", "time"),
    Column(
        "log10_backward_c", "log10_backward at the cell state c_t; null where there is none", "log10", "time"
    ),
)
NOTES = (Column("value", "a measure from inside a block, named by the column `measure`", kind="note"),)
VECTORS = (
    Column("value", "the value at `index` of the vector named by the column `measure`", kind="vector"),
)
# what analysis and figures read of the probes' columns: a reader gives null where a run has not measured them
EXPECTED = {"layers": ("log10_forward", "log10_backward", "log10_gradient", "cosine", "effective_rank")}

_FIXED: dict[str, tuple[Column, ...]] = {
    "layers": (),
    "parameters": (),
    "steps": (*STEPS, *EVALUATION),
    "times": TIMES,
    "notes": NOTES,
    "vectors": VECTORS,
}
# names that stand in the tables of every run, as `loss`: there a choice of the recipe has its full key, `loss.name`
FIXED_NAMES = frozenset(
    [name for keys in KEYS.values() for name, _ in keys]
    + [column.name for columns in _FIXED.values() for column in columns]
)


def require_columns(columns: object, kind: str) -> None:
    """Check what a probe or a snapshot, its `kind`, declares.

    Raises:
        RecipeError: it is no tuple or list of columns.
    """
    if not isinstance(columns, tuple | list) or not all(isinstance(column, Column) for column in columns):
        raise RecipeError(
            f"the columns of a {kind.lower()} are a tuple of gradlab.Column, as in {kind}((Column(…),), …)"
        )


def columns_of(table: str, declared: Iterable[Column] = ()) -> list[Column]:
    """The measured columns of a table: those that every run has, then those of the probes and snapshots `declared`."""
    measured = [column for column in declared if column.kind not in BY_MEASURE]
    added = [column for column in measured if TABLE_OF[column.kind] == table]
    if table == "layers":
        added += [column.of_kernels() for column in measured if column.over_kernels]
    return [*_FIXED[table], *added]


def schemas(declared: Iterable[Column]) -> dict[str, pa.Schema]:
    """The schema of each table of a run whose probes and snapshots declare these columns.

    Raises:
        RecipeError: for two columns of one name in a table, or a name or kind that a column cannot have.
    """
    declared = list(declared)
    for column in declared:
        _check(column)
    by_measure = {kind: [column for column in declared if column.kind == kind] for kind in BY_MEASURE}
    for kind, columns in by_measure.items():
        measures = [column.name for column in columns]
        if twice := sorted({name for name in measures if measures.count(name) > 1}):
            raise RecipeError(f"two probes declare the {kind} {', '.join(twice)}; rename one")
    by_table = {}
    for table, keys in KEYS.items():
        fields = [pa.field(*key) for key in keys] + [column.field for column in columns_of(table, declared)]
        names = [field.name for field in fields]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RecipeError(
                f"the table '{table}' would have two columns {', '.join(twice)}; rename that of the probe"
            )
        by_table[table] = pa.schema(fields, metadata={"gradlab_schema": str(VERSION)})
    for kind, columns in by_measure.items():
        meanings = {column.name: [column.unit, column.definition] for column in columns}
        if meanings:
            table = TABLE_OF[kind]
            metadata = {**by_table[table].metadata, MEASURES: json.dumps(meanings, ensure_ascii=False)}
            by_table[table] = by_table[table].with_metadata(metadata)
    return by_table


def _check(column: Column) -> None:
    """Refuse what no table can hold, or a frame with a column for each choice of a recipe could not tell apart."""
    kinds = ", ".join(TABLE_OF)
    if column.kind not in TABLE_OF:
        raise RecipeError(f"the column {column.name} has kind={column.kind!r}; choose one of {kinds}")
    if column.over_kernels not in ("", *OVER_KERNELS):
        raise RecipeError(
            f"the column {column.name} has over_kernels={column.over_kernels!r}; choose one of "
            f"{', '.join(OVER_KERNELS)}"
        )
    if column.over_kernels == "norm" and column.unit != "log10":
        raise RecipeError(
            f"the column {column.name} has over_kernels='norm', which joins log10 of norms; declare unit='log10'"
        )
    if column.is_count and column.over_kernels not in ("", "sum"):
        raise RecipeError(
            f"the column {column.name} is a count with over_kernels={column.over_kernels!r}; counts have only 'sum'"
        )
    if (
        column.over_kernels
        and column.kind != "parameter"
        and (column.kind, column.over_kernels) != ("vector", "sum")
    ):
        raise RecipeError(
            f"the column {column.name} has kind={column.kind!r}; only parameters have over_kernels"
        )
    if (column.kind == "vector") != (column.size > 0):
        raise RecipeError(
            f"the column {column.name} has kind={column.kind!r} and size={column.size}; a vector has a size, its "
            "number of values, and nothing else has one"
        )
    choices = {"run", *FAMILIES, *(key.partition(".")[0] for key in BOUNDS)}
    choices |= {name for keys in KEYS.values() for name, _ in keys}
    if not re.fullmatch(r"[a-z][a-z0-9_]*", column.name) or column.name in choices:
        raise RecipeError(
            f"a probe's column cannot be called {column.name!r}; take a word of small letters, digits and _ that is no "
            "choice of a recipe and no key of a table"
        )
