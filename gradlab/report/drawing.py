"""What the picture of a comparison needs of the stored tables: a few columns, at a few steps."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradlab.store.minibatches import Selection
    from gradlab.store.read import Run

COLUMNS = {  # of the tables, that the picture needs
    "layers": ("name", "log10_forward", "log10_backward"),
    "steps": tuple(
        "phase loss train_loss evaluations test_loss test_accuracy test_balanced_accuracy test_r2".split()
    ),
    "times": ("name", "log10_backward"),
}


def drawable(run: "Run") -> "Run":
    """A run all of whose tables can be read; what the picture needs of its layers and steps is read already.

    Raises:
        RecipeError: a table is missing or damaged.
    """
    from gradlab.measurements.columns import TABLES
    from gradlab.store.read import require_table, selected

    noted = {name.partition("/")[0] for name in run.digests}
    for table in TABLES:
        # of a table that is not noted nothing tells whether its other columns are whole
        if table in ("layers", "steps") and table in noted:
            selected(run, table, drawn_rows(table))
        else:
            require_table(run, table)
    return run


def drawn_rows(table: str) -> "Selection":
    """The columns and rows of a table that the picture needs."""
    from gradlab.store.minibatches import Selection, minibatch_ends, minibatch_evaluations

    return Selection(COLUMNS[table], minibatch_evaluations if table == "steps" else minibatch_ends)
