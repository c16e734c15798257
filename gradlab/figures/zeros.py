"""How many entries of each layer's gradient are exactly zero, infinite or NaN."""

from matplotlib.figure import Figure

from gradlab.figures.over_layers import Panel, over_layers
from gradlab.store.read import Run

RUN_TABLES = ("layers",)
BY_DEFAULT = False
PROBE = "gradient"
MEASURES = ("zeros", "infs", "nans")
LEAST = {"layer": 2}
YLABEL = "fraction of the entries of ∂loss/∂W"
PANELS = {
    "zeros": Panel("Exact zeros", YLABEL, "fraction"),
    "infs": Panel("Infinite", YLABEL, "fraction"),
    "nans": Panel("NaN", YLABEL, "fraction"),
}


def run_figure(run: Run, title: str) -> Figure:
    """The fractions over depth; of infinities and NaN only where there are any."""
    some = {column: panel for column, panel in PANELS.items() if (run.layers[column] > 0).any()}
    return over_layers(
        run, some or {"zeros": PANELS["zeros"]}, title, dict.fromkeys(some or ["zeros"], "size")
    )
