import numpy as np
import pytest

from gradlab.analysis.selection import defined_backward, to_float64
from gradlab.figures.heatmap import heatmap
from tests import runs
from tests.figures.frames import frames, legend, render


def cells(figure):
    """The numbers of the picture, layer × step."""
    return figure.axes[0].collections[0].get_array()


def test_colours_are_decades_relative_to_the_last_hidden_layer(tmp_path):
    layers, steps = frames(tmp_path / "run")
    shown = cells(heatmap(layers, steps))
    rows = layers.pivot(index="layer", columns="step", values="log10_backward").to_numpy(dtype=float)
    assert np.allclose(shown, rows - rows[20], atol=1e-12)


def test_the_scale_is_centred_at_zero_and_at_least_a_decade(tmp_path):
    layers, steps = frames(tmp_path / "run", np.zeros((3, 22)))
    low, high = heatmap(layers, steps).axes[0].collections[0].get_clim()
    assert (low, high) == (-1.0, 1.0)


def test_the_first_non_finite_value_and_the_clip_are_marked(tmp_path):
    backward = np.zeros((3, 22))
    backward[1:, :4] = np.nan
    layers, steps = frames(tmp_path / "run", backward, clipped=[1.0, 0.0, 0.0])
    words = legend(heatmap(layers, steps))
    assert words == ["NaN", "first non-finite: step 50, layer 4", "the clip acted"]


@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "exactly zero")]
)
def test_what_is_no_number_of_decades_has_its_own_colour(tmp_path, value, word):
    backward = np.zeros((3, 22))
    backward[2, 5] = value
    layers, steps = frames(tmp_path / "run", backward)
    figure = heatmap(layers, steps)
    assert word in legend(figure)
    assert np.ma.is_masked(cells(figure)[5, 2])
    assert not np.ma.is_masked(figure.axes[0].collections[1].get_array()[5, 2])


def test_without_a_reference_layer_cells_are_grey_not_nan(tmp_path):
    backward = np.zeros((3, 22))
    backward[:, :21] = -np.inf
    layers, steps = frames(tmp_path / "run", backward)
    assert legend(heatmap(layers, steps)) == ["exactly zero", "finite, but the reference layer is not"]


@pytest.mark.few(3)
@pytest.mark.parametrize("value", [0.0, np.nan, -np.inf, np.inf])
@pytest.mark.parametrize(("depth", "count"), [(1, 1), (20, 1), (20, 2)])
def test_any_size_and_any_number_is_drawn_without_a_warning(tmp_path, value, depth, count):
    layers, steps = frames(tmp_path / "run", np.full((count, depth + 2), value))
    render(heatmap(layers, steps, "one $ and _two"), tmp_path, "png")


def test_of_several_seeds_the_first_is_shown_and_named(tmp_path):
    layers, steps = frames(tmp_path / "run", seeds=3)
    assert "seed 0 of 3 seeds" in heatmap(layers, steps).axes[0].get_title(loc="left")


def test_a_zero_behind_an_overflow_is_not_drawn_as_zero(tmp_path):
    """relu'(NaN) is 0 in JAX: the stored zeros of such a step are no zeros."""
    backward, forward = np.zeros((3, 22)), np.zeros((3, 22))
    backward[2, :18], backward[2, 18:] = -np.inf, np.nan
    forward[2, 13:] = np.nan
    layers, steps = frames(tmp_path / "run", backward)
    overflowed = layers.assign(log10_forward=forward.ravel())
    assert legend(heatmap(overflowed, steps)) == ["NaN", "first non-finite: step 100, layer 13"]
    assert not np.isfinite(np.ma.filled(cells(heatmap(overflowed, steps)), np.nan))[:, 2].any()
    assert "exactly zero" in legend(heatmap(layers, steps))  # the control: without an overflow a zero is one


@pytest.mark.parametrize("column", ["log10_backward", "log10_gradient", "log10_backward_z"])
def test_no_gradient_behind_an_overflow_is_zero(tmp_path, column):
    """relu′(NaN) is 0 in JAX: gradients of layers before the overflow are stored as zeros, and are none."""
    forward = np.where(np.arange(22) < 9, 0.0, np.inf)
    stored = np.where(np.arange(22) < 9, -np.inf, np.nan)
    rows = runs.layer_table(np.zeros((1, 22)), [0], forward[None], **{column: stored[None]})
    layers = runs.opened(tmp_path / "run", [rows], [runs.step_table([1.0], [0])]).layers
    assert (to_float64(layers[column])[:9] == -np.inf).all()
    assert np.isnan(to_float64(defined_backward(layers)[column])).all()
