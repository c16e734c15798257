import numpy as np
import pytest

from gradlab.figures import marks, spread, style
from gradlab.figures.comparison import comparison
from tests.figures.frames import data, legend, render
from tests.figures.test_comparison import study


def drawn(curves, groups=1):
    _, (panel,) = style.panels(1, 1, (6, 4), "")
    box = marks.Legend()
    spread.run_spread(panel, curves, "#0072B2", box, groups=groups)
    return panel, box


def test_the_median_and_the_band_are_quantiles_of_the_curves():
    random = np.random.default_rng(0)
    table = random.standard_normal((21, 5))
    panel, _ = drawn([(np.arange(5.0), row) for row in table])
    assert data(panel)[0].get_ydata() == pytest.approx(np.median(table, axis=0))
    band = panel.collections[1].get_paths()[0].vertices
    for layer, (low, high) in enumerate(np.quantile(table, [0.1, 0.9], axis=0).T):
        heights = band[band[:, 0] == layer][:, 1]
        assert (heights.min(), heights.max()) == (pytest.approx(low), pytest.approx(high))


def test_curves_of_unlike_points_are_linear_between_their_own_and_end_where_they_end():
    one, other = (np.array([0.0, 2.0]), np.array([1.0, 3.0])), (np.array([0.0, 1.0]), np.array([0.0, 5.0]))
    xs, table = spread.on_common_x([one, other])
    assert xs.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(table, [[1, 2, 3], [0, 5, np.nan]])


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "_nan"), (np.inf, "_inf"), (-np.inf, "_zero")])
def test_a_value_that_is_not_finite_is_marked_and_not_in_the_median(value, kind):
    curves = [(np.arange(4.0), np.array([0.0, 1.0, 2.0, 3.0]) + i) for i in range(6)]
    curves[0][1][2] = value
    panel, box = drawn(curves)
    (mark,) = [line for line in panel.get_lines() if line.get_label() == kind]
    assert mark.get_xdata().tolist() == [2.0]
    assert data(panel)[0].get_ydata()[2] == 5.0  # the median of 3 … 7
    assert list(box.entries) == [marks.EDGE_MARKS[kind[1:]][2]]


def test_of_very_many_curves_some_are_drawn_and_of_very_many_points():
    curves = [(np.arange(5000.0), np.full(5000, float(i))) for i in range(1000)]
    panel, _ = drawn(curves, groups=3)
    segments = panel.collections[0].get_segments()
    assert len(segments) == spread.FAINT_LINES // 3
    assert {len(segment) for segment in segments} == {spread.MOST_POINTS}
    assert (segments[0][0, 1], segments[-1][0, 1]) == (0.0, 999.0)
    assert np.unique(data(panel)[0].get_ydata()) == [499.5]


def test_a_group_of_more_than_four_runs_is_its_median(tmp_path):
    activation = [{"name": "tanh"}] * 5 + [{"name": "relu"}]
    layers, steps = study(tmp_path, "activation", depth=[6] * 6, activation=activation, lr=[1, 2, 3, 4, 5, 6])
    layers = layers.assign(log10_backward=layers.log10_backward.to_numpy(float) + np.arange(len(layers)) % 5)
    figure = comparison(layers, steps, "activation")
    tanh = layers[(layers.activation == "tanh") & (layers.step == 0)]
    expected = tanh.groupby("layer").log10_backward.median().to_numpy(float)
    assert data(figure.axes[0])[0].get_ydata() == pytest.approx(expected)
    assert spread.MEANING in legend(figure)
    assert legend(figure)[0] == "tanh (5 runs)"
    render(figure, tmp_path)


def test_a_median_of_networks_of_unlike_depth_is_over_relative_depth(tmp_path):
    layers, steps = study(tmp_path, "activation", depth=[4, 4, 9, 9, 9], lr=[1, 2, 1, 2, 3])
    panel = comparison(layers, steps, "activation").axes[0]
    assert panel.get_xlabel().startswith("relative depth")
    (median,) = data(panel)
    assert (median.get_xdata().min(), median.get_xdata().max()) == (0.0, 1.0)
    # the slow way, at the input and half-way
    for x in (0.0, 0.2):
        values = []
        for _, rows in layers[layers.step == 0].groupby("run", observed=True):
            at = rows.layer.to_numpy(float) / rows.layer.max()
            values.append(np.interp(x, at, rows.log10_backward.to_numpy(float)))
        y = median.get_ydata()[np.isclose(median.get_xdata(), x)]
        assert y == pytest.approx(np.median(values))
