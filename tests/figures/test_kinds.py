"""Every figure of every kind of run: drawn without a warning, without an empty panel, or refused in one line."""

import re
from contextlib import suppress

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection, QuadMesh

from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from gradlab.report.pictures import default_names
from gradlab.report.summary import title
from tests import runs
from tests.figures.kinds import KINDS, stored

REFUSING = ("clip_advice", "lr_range", "activation")  # figures that need more than tables
COLUMNS = {field for schema in runs.SCHEMAS.values() for field in schema.names}
# figures of probes that a run made by hand has not
OTHERS = [
    name for name, figure in run_figures().items() if figure.measures and COLUMNS.isdisjoint(figure.measures)
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The run of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    return {name: stored(folder / name, kind) for name, kind in KINDS.items()}


def drawn(run, name):
    """The figure, or None where the run has none and one line says why."""
    figure = run_figures()[name]
    if problem := figure.problem(run):
        assert "\n" not in problem
        with pytest.raises(RecipeError, match=re.escape(problem)):
            figure.draw(run, "a title")
        return None
    if name not in REFUSING:
        return figure.draw(run, title(run))
    with suppress(RecipeError):
        return figure.draw(run, title(run))
    return None


def has_data(axes):
    """Whether a panel shows something of the run: a point of a line, a cell, a mark."""
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith(("_one", "_flowing"))]
    points = any(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any() for line in lines)
    shapes = any(isinstance(shape, QuadMesh | PathCollection | LineCollection) for shape in axes.collections)
    return points or shapes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", run_figures())
def test_no_panel_is_empty(opened, kind, name):
    figure = drawn(opened[kind], name)
    panels = [] if figure is None else [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert all(has_data(panel) for panel in panels), [panel.get_title("left") for panel in panels]
    assert not [text for panel in panels for text in panel.texts if "not measured" in text.get_text()]


@pytest.mark.few(16)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", run_figures())
def test_it_is_rendered_without_a_warning(opened, tmp_path, kind, name):
    if (figure := drawn(opened[kind], name)) is not None:
        figure.savefig(tmp_path / "figure.png", dpi=40)
        width, height = figure.get_size_inches() * figure.dpi
        for text in [figure._suptitle, *(axes.title for axes in figure.axes)]:
            box = text.get_window_extent()
            assert -1 <= box.x0 <= box.x1 <= width + 1, text.get_text()
        for legend in figure.legends:
            assert legend.get_window_extent().height <= 0.27 * height


def test_every_figure_is_drawn_of_some_kind(opened):
    for name in run_figures():
        if name not in (*OTHERS, "lr_range"):
            assert any(drawn(run, name) for run in opened.values()), name


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("mlp", {"profile", "heatmap", "training"}),
        ("lstm", {"profile", "heatmap", "training", "times"}),
        ("point", {"training"}),
        ("no step", {"profile"}),
        ("diverged", {"profile"}),
    ],
)
def test_the_default_set_is_small_and_has_what_says_something(opened, kind, names):
    known = {"profile", "heatmap", "training", "times"}
    assert set(default_names(opened[kind])) & known == names
