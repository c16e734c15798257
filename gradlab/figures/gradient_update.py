"""The raw gradient of each layer beside the update that the optimizer makes of it.

Adam divides by the gradient's own size: its updates are level over depth also where the gradient vanishes.
"""

from matplotlib.figure import Figure

from gradlab.figures.over_layers import Panel, over_layers
from gradlab.store.read import Run

RUN_TABLES = ("layers",)
BY_DEFAULT = False
PROBE = "update"
MEASURES = ("log10_update",)
COLUMNS = ("log10_gradient", "log10_update")
LEAST = {"layer": 2}
PANELS = {
    "log10_gradient": Panel("Weight gradient", "‖∂loss/∂W‖ of a layer's weights", "log10"),
    "log10_update": Panel("Update of the optimizer", "‖ΔW‖ of a layer's weights", "log10"),
}


def run_figure(run: Run, title: str) -> Figure:
    """Gradient and update over depth, on equal decades."""
    return over_layers(run, PANELS, title)
