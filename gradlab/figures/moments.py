"""Mean and variance of each layer's output, and the optimizer's moments of each layer's gradient."""

from matplotlib.figure import Figure

from gradlab.figures.over_layers import Panel, over_layers
from gradlab.store.read import Run

RUN_TABLES = ("layers",)
BY_DEFAULT = False
PROBE = "moments,optimizer_state"
MEASURES = ("mean", "var", "log10_first_moment", "log10_second_moment")
LEAST = {"layer": 2}
PANELS = {
    "mean": Panel("Mean of the outputs", "mean of h over examples and units", "plain"),
    "var": Panel("Variance of the outputs", "variance of h over examples and units", "amount"),
    "log10_first_moment": Panel("Average gradient", "‖m‖ of the optimizer", "log10"),
    "log10_second_moment": Panel("Average squared gradient", "‖v‖ of the optimizer", "log10"),
}


def run_figure(run: Run, title: str) -> Figure:
    """The moments that were measured, over depth."""
    return over_layers(run, PANELS, title)
