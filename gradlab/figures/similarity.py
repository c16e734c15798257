"""Whether examples can still be told apart at each layer.

A cosine near 1 and an effective rank near 1 say that all examples have become one.
"""

from matplotlib.figure import Figure

from gradlab.figures.over_layers import Panel, over_layers
from gradlab.store.read import Run

RUN_TABLES = ("layers",)
BY_DEFAULT = False
PROBE = "cosine,rank"
MEASURES = ("cosine", "effective_rank", "centred")
LEAST = {"layer": 2}
PANELS = {
    "cosine": Panel("Cosine between two examples", "mean cosine of two outputs h", "fraction"),
    "effective_rank": Panel("Effective rank", "(Σ λ)²/Σ λ² of the covariance of h", "plain"),
    "centred": Panel("Where examples differ", "fraction of ‖h‖² beside the mean of the examples", "fraction"),
}


def run_figure(run: Run, title: str) -> Figure:
    """The three measures over depth."""
    return over_layers(run, PANELS, title)
