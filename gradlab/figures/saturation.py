"""Which activations block the gradient: saturated ones, and units that are dead on the whole batch."""

from matplotlib.figure import Figure

from gradlab.figures.over_layers import Panel, over_layers
from gradlab.store.read import Run

RUN_TABLES = ("layers",)
BY_DEFAULT = False
PROBE = "saturation"
MEASURES = ("saturated", "dead")
LEAST = {"layer": 2}
PANELS = {
    "saturated": Panel(
        "Saturated activations, |φ′| < 0.05·max|φ′|", "fraction of a layer's activations", "fraction"
    ),
    "dead": Panel("Dead units, φ′ = 0 on the whole batch", "fraction of a layer's units", "fraction"),
}


def run_figure(run: Run, title: str) -> Figure:
    """Both fractions over depth."""
    return over_layers(run, PANELS, title)
