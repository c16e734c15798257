"""docs/columns.md from the declarations of the columns; `python -m tests.columns_page` writes it anew."""

from pathlib import Path
from typing import Any

import yaml

from gradlab.measurements.columns import BY_MEASURE, KEYS, LOSS_SCALE, TABLE_OF, TABLES, Column, columns_of
from gradlab.measurements.probe import Probe, probe
from gradlab.measurements.snapshot import snapshot
from gradlab.recipe.paths import CONF

PAGE = Path(__file__).parent.parent / "docs" / "columns.md"
SCALED = "`loss_scale.kind`"
ROWS = {
    "layers": "One row for each seed, step, source and layer.",
    "parameters": "One row for each seed, step, source, layer and parameter.",
    "steps": "One row for each seed, step and source.",
    "times": "Recurrent networks only: one row for each seed, step, source, layer and time step.",
    "notes": "One row for each seed, step, source, layer and measure from inside a block.",
    "vectors": "One row for each seed, step, source, layer, measure and index: measures that have several values.",
}
INTRODUCTION = """\
# Every column that gradlab stores

A run's tables are Parquet files, `outputs/<study>/<run>/<table>/all.parquet`. `gradlab.load(path, table)`
reads them as a pandas frame, and so do pandas, polars and DuckDB. Each file holds unit and definition of its
columns (`pyarrow.parquet.read_schema(file).field("cosine").metadata`). This page is made from the same
declarations.

In every column null means not measured; in one of log10, −inf means exactly zero. Row t is measured at θ_t,
before update t. `source` is `batch` for the training minibatch of the step and `probe` for the fixed batch of
training examples, which is measured at evaluations; no update follows the rows of the fixed batch and the
last row, and the columns of an update are null there. The measures of the training and the test set stand in
the minibatch row of the step at which they were taken.

Layers are counted through the network: 0 is the first block, the last one is the output block, and h_l is the
output of block l. A block's kernels are its parameters of two axes or more; `size` is the number of their
entries. B is the number of terms in the mean loss: examples, or labelled time steps where each time step has
a label. With `accumulate` the signals (forward, backward, through time) are those of the first micro-batch,
and gradients those of all.
"""


def page() -> str:
    """The whole page."""
    makers = [
        (f"`probe={name}`", _declared(probe.make(_part("probe", name)))) for name in sorted(probe.makers)
    ]
    makers += [
        (f"`probe={name}`", snapshot.make(_part("snapshot", name)).columns)
        for name in sorted(snapshot.makers)
    ]
    makers.append((SCALED, LOSS_SCALE["dynamic"]))
    by_column = {column: maker for maker, columns in makers for column in columns}
    return "\n".join([INTRODUCTION, *(_section(table, by_column) for table in TABLES)])


def _part(group: str, name: str) -> dict[str, Any]:
    """A probe with the numbers that its file has."""
    part: dict[str, Any] = yaml.safe_load((CONF / group / f"{name}.yaml").read_text("utf-8"))
    return part


def _declared(probes: tuple[Probe, ...]) -> list[Column]:
    return [column for probe in probes for column in probe.columns]


def _section(table: str, by_column: dict[Column, str]) -> str:
    makers = {column.name: maker for column, maker in by_column.items() if column.kind != "step"}
    rows = [
        f"| `{column.name}` | {column.unit} | {_maker(table, column, makers)} | {_cell(column.definition)} |"
        for column in columns_of(table, by_column)
    ]
    keys = ", ".join(f"`{name}`" for name, _ in KEYS[table])
    lines = [f"## {table}", "", ROWS[table], f"Keys: {keys}.", ""]
    if table in BY_MEASURE:
        rows += [
            f"| `value`, where `measure` is `{column.name}`{_variants(column)} | "
            f"{column.unit} | {maker} | {_cell(column.definition)} |"
            for column, maker in by_column.items()
            if TABLE_OF.get(column.kind) == table
        ]
    return "\n".join([*lines, "| column | unit | measured by | definition |", "|---|---|---|---|", *rows, ""])


def _maker(table: str, column: Column, makers: dict[str, str]) -> str:
    if table in ("layers", "parameters"):
        return makers.get(column.name, "every run")
    if column in LOSS_SCALE["dynamic"]:
        return SCALED
    return {
        "times": "recurrent networks",
        "notes": "networks with inner measures",
        "vectors": "probes of vectors",
    }.get(table, "every run")


def _variants(column: Column) -> str:
    return ", or begins with it and has a gate's name at its end" if column.kind == "note" else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
