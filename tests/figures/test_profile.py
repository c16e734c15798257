import numpy as np
import pytest

from gradlab.figures.profile import profile
from tests import runs
from tests.figures.frames import data, frames, legend, marked, prediction, render


def test_lines_are_the_frames_numbers(tmp_path):
    layers, _ = frames(tmp_path / "run")
    figure = profile(layers)
    for axes, column in zip(figure.axes, ("log10_forward", "log10_backward", "log10_gradient"), strict=True):
        for line, step in zip(data(axes), (0, 50, 100), strict=True):
            rows = layers[layers.step == step]
            assert line.get_xdata().tolist() == rows.layer.tolist()
            assert line.get_ydata().tolist() == rows[column].tolist()


def test_the_frame_is_not_changed(tmp_path):
    layers, _ = frames(tmp_path / "run")
    before = layers.copy()
    render(profile(layers, prediction(20)), tmp_path)
    assert layers.equals(before)


@pytest.mark.parametrize("slope", [0.0, 0.05, 1.5])
def test_panels_share_a_number_of_decades_never_fewer_than_four(tmp_path, slope):
    layers, _ = frames(tmp_path / "run", np.arange(22)[None] * slope)
    spans = [np.subtract(*axes.get_ylim()[::-1]) for axes in profile(layers).axes]
    assert spans[1] == pytest.approx(spans[2])
    assert min(spans) >= 4.0
    assert spans[1] >= 21 * slope
    assert spans[0] == pytest.approx(spans[1] if slope < 1 else 4.0)


def test_a_panel_that_a_shared_axis_would_leave_empty_has_its_own_and_says_so(tmp_path):
    layers, _ = frames(tmp_path / "run", np.arange(22)[None] * 1.5)
    titles = [axes.get_title("left") for axes in profile(layers).axes]
    assert titles == ["Forward signal → (4 decades shown)", "← Backward signal", "Weight gradient"]


def test_theory_is_anchored_at_the_last_hidden_layer_of_the_first_step(tmp_path):
    layers, _ = frames(tmp_path / "run")
    figure = profile(layers, prediction(20, gain=0.9))
    dashed = [line for line in figure.axes[1].get_lines() if line.get_linestyle() == "--"]
    anchor = layers[(layers.step == 0) & (layers.layer == 20)].log10_backward.iloc[0]
    assert dashed[0].get_ydata()[20] == pytest.approx(anchor)
    assert dashed[0].get_ydata()[1] == pytest.approx(anchor + 19 * np.log10(0.9))
    assert not [line for line in figure.axes[2].get_lines() if line.get_linestyle() == "--"]


def test_a_band_is_1_96_standard_deviations_wide_and_says_its_level_or_is_not_drawn(tmp_path):
    layers, _ = frames(tmp_path / "run")
    theory = prediction(20)
    (band,) = profile(layers, theory).axes[1].collections
    (line,) = (line for line in profile(layers, theory).axes[1].get_lines() if line.get_linestyle() == "--")
    heights = band.get_paths()[0].vertices[:, 1]
    assert np.ptp(heights[np.isclose(band.get_paths()[0].vertices[:, 0], 4)]) == pytest.approx(
        2 * 1.959964 * theory.sd[4], rel=1e-3
    )
    assert "theory at this width, 95 % of networks at each layer" in legend(profile(layers, theory))
    assert len(line.get_xdata()) == 22
    theory.has_band = False
    assert not profile(layers, theory).axes[1].collections


def test_five_seeds_are_a_median_in_a_band(tmp_path):
    layers, _ = frames(tmp_path / "run", seeds=5)
    axes = profile(layers).axes[1]
    rows = layers[(layers.seed == 2) & (layers.step == 0)]
    assert data(axes)[0].get_ydata() == pytest.approx(rows.log10_backward.to_numpy(dtype=float), rel=1e-6)
    low = axes.collections[0].get_paths()[0].vertices[:, 1].min()
    assert low == pytest.approx(layers[layers.step == 0].log10_backward.min(), rel=1e-6)


def test_four_seeds_are_four_lines(tmp_path):
    layers, _ = frames(tmp_path / "run", seeds=4)
    axes = profile(layers).axes[1]
    assert len(data(axes)) == 12
    assert not axes.collections


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "zero")])
def test_what_is_not_finite_is_marked_and_named(tmp_path, value, kind):
    profile_ = np.zeros((3, 22))
    profile_[1, :4] = value
    layers, _ = frames(tmp_path / "run", profile_)
    figure = profile(layers)
    assert marked(figure)[1] == {kind}
    mark = next(line for line in figure.axes[1].get_lines() if line.get_label() == f"_{kind}")
    assert mark.get_xdata().tolist() == [0, 1, 2, 3]
    assert {"nan": "NaN", "inf": "infinite", "zero": "exactly zero"}[kind] in legend(figure)


def test_marks_of_two_steps_do_not_hide_each_other(tmp_path):
    layers, _ = frames(tmp_path / "run", np.full((3, 22), np.nan))
    marks = [line for line in profile(layers).axes[1].get_lines() if line.get_label() == "_nan"]
    assert len({line.get_ydata()[0] for line in marks}) == 3


def test_what_was_not_measured_has_no_panel(tmp_path):
    rows = runs.layer_table(runs.walk(5, 1), [0])
    run = runs.opened(tmp_path / "run", [rows], [runs.step_table([1.0], [0])])
    titles = [axes.get_title("left") for axes in profile(run.layers).axes]
    assert titles == ["Forward signal →", "← Backward signal"]


def test_layers_that_have_names_show_them(tmp_path):
    layers, _ = frames(tmp_path / "run")
    names = [f"stage 2, block {layer}: attention" for layer in layers.layer]
    ticks = profile(layers.assign(name=names)).axes[0].get_xticklabels()
    assert ticks[0].get_text() == "stage 2, block 0:" + " …"
    assert profile(layers).axes[0].get_xlabel() == "layer  (0 = input, 21 = output)"


def test_marks_at_an_edge_stand_apart_from_the_data(tmp_path):
    values = np.zeros((3, 22))
    values[1, 3:6], values[2, 8] = -np.inf, np.inf
    layers, _ = frames(tmp_path / "run", values)
    panel = profile(layers).axes[1]
    bands = [patch for patch in panel.patches if patch.get_label() == "_edge"]
    bottom, top = sorted(bands, key=lambda band: band.get_y())
    to_axes = panel.transData + panel.transAxes.inverted()
    heights = [
        to_axes.transform((0, y))[1] for line in data(panel) for y in line.get_ydata() if np.isfinite(y)
    ]
    assert bottom.get_height() < min(heights)
    assert max(heights) < top.get_y()
    marks_ = [line.get_ydata()[0] for line in panel.get_lines() if line.get_label() in ("_zero", "_inf")]
    assert all(y < bottom.get_height() or y > top.get_y() for y in marks_)


@pytest.mark.parametrize("depth", [1, 2, 1000])
@pytest.mark.parametrize("value", [0.0, np.nan, -np.inf, np.inf])
def test_any_depth_and_any_number_is_drawn_without_a_warning(tmp_path, depth, value):
    layers, _ = frames(tmp_path / "run", np.full((1, depth + 2), value))
    render(profile(layers, prediction(depth), "one $ and _two"), tmp_path, "png")


def test_a_step_that_not_all_seeds_reached_has_their_number(tmp_path):
    complete, partial = (
        runs.layer_table(runs.walk(5, 2), [0, 9]),
        runs.layer_table(runs.walk(5, 1), [0], seed=1),
    )
    run = runs.opened(tmp_path / "run", [complete, partial], [runs.step_table([1.0], [0])])
    assert legend(profile(run.layers))[:2] == ["step 0", "step 9 (1 of 2 seeds)"]
