import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gradlab.figures import factors, style
from gradlab.figures.factors import Maps, combinations
from tests.figures.frames import SCORE, render


def outcomes(**changes):
    """Two values of clip × three of depth, two runs each; without a value of its own a column has 0.1, 0.2, …"""
    frame = pd.DataFrame(
        [
            {"clip": clip, "depth": depth, "signal_start": "flowing"}
            for clip in ("norm", None)
            for depth in (50, 5, 20)
            for _ in range(2)
        ]
    )
    values = np.arange(1, 13) / 10
    return frame.assign(**{"gain": -values, "decades": 3 * values, "score": values / 2} | changes)


def drawn(frame, score=SCORE):
    figure = Figure(figsize=(15, 4), layout="constrained")
    panels = [style.tidy(axes) for axes in figure.subplots(1, 3)]
    return figure, panels, factors.draw_maps(figure, panels, Maps(frame, "clip", "depth", score))


def texts(panel):
    """The words in the cells by (row, column)."""
    return {
        (round(text.get_position()[1]), round(text.get_position()[0])): text.get_text()
        for text in panel.texts
    }


def test_a_cell_is_the_mean_of_its_runs_numbers_sorted_words_as_they_come():
    cells = combinations(Maps(outcomes(), "clip", "depth", SCORE), "score")
    assert (cells.rows, cells.columns) == (["norm", None], [5, 20, 50])
    expected = [[(0.3 + 0.4) / 4, (0.5 + 0.6) / 4, (0.1 + 0.2) / 4], [(0.9 + 1.0) / 4, 2.3 / 4, 1.5 / 4]]
    np.testing.assert_allclose(cells.means, expected)
    assert cells.runs.tolist() == cells.finite.tolist() == [[2, 2, 2], [2, 2, 2]]


def test_the_cells_show_factors_signed_decades_and_scores(tmp_path):
    figure, (gain, decades, score), entries = drawn(outcomes())
    assert texts(gain)[0, 2] == f"{10**-0.15:.2f}"
    assert texts(decades)[0, 2] == "+0.5"  # 0.45
    assert texts(score)[1, 1] == "0.57"
    assert not entries
    assert [label.get_text() for label in gain.get_yticklabels()] == ["norm", "none"]
    assert [label.get_text() for label in gain.get_xticklabels()] == ["5", "20", "50"]
    render(figure, tmp_path)


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        *((word, meaning) for word, (_, meaning) in factors.WITHOUT_VALUE.items()),
        ("undecided", "no finite value"),
    ],
)
def test_a_combination_without_a_finite_value_is_no_number(word, meaning):
    lost = [word] * 2 + ["flowing"] * 10
    frame = outcomes(signal_start=lost)
    frame.loc[[0, 1], ["gain", "decades"]] = np.nan
    _, (gain, decades, score), entries = drawn(frame)
    assert list(entries) == [meaning]
    for panel in (gain, decades):
        assert (0, 2) not in texts(panel)
        (cell,) = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
        assert cell.get_xy() == (1.5, -0.5)
    assert (0, 2) in texts(score)


def test_an_exact_zero_is_never_drawn_as_a_number_of_decades():
    frame = outcomes()
    frame.loc[[0, 1], "decades"] = -np.inf
    _, (_, decades, _), entries = drawn(frame)
    assert (0, 2) not in texts(decades)
    assert [patch.get_xy() for patch in decades.patches if isinstance(patch, Rectangle)] == [(1.5, -0.5)]
    assert list(entries) == ["no finite value"]


def test_a_combination_without_a_run_is_hatched_and_says_so():
    _, panels, _ = drawn(outcomes()[2:])
    for panel in panels:
        assert texts(panel)[0, 2] == "no run"
        (cell,) = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
        assert cell.get_hatch()


def test_a_mean_of_some_of_the_runs_is_marked():
    frame = outcomes()
    frame.loc[0, "gain"] = np.nan
    _, (gain, decades, _), entries = drawn(frame)
    assert texts(gain)[0, 2] == f"{10**-0.2:.2f}"
    marked = {
        panel: [line.get_xydata().tolist() for line in panel.lines if line.get_label() == "_part"]
        for panel in (gain, decades)
    }
    assert marked == {gain: [[[2.36, -0.36]]], decades: [[]]}
    assert list(entries) == ["mean of some of the runs: the others have no finite value"]


def test_colours_are_blue_where_the_gradient_vanishes_and_red_where_it_explodes():
    _, (gain, decades, _), _ = drawn(outcomes())
    for panel, vanishes in ((gain, True), (decades, False)):
        mesh = panel.collections[0]
        red, _, blue, _ = mesh.to_rgba(mesh.get_array())[0, 0]
        assert (blue > red) == vanishes
        low, high = mesh.get_clim()
        assert low == -high


def test_scores_of_unlike_kinds_are_not_compared():
    _, (_, _, score), _ = drawn(outcomes(score=np.nan), score=None)
    assert [text.get_text() for text in score.texts] == ["not compared: the scores differ in kind"]


def test_of_many_values_no_number_is_written_and_some_are_named(tmp_path):
    frame = pd.DataFrame([{"clip": a, "depth": b} for a in range(60) for b in range(60)])
    frame = frame.assign(gain=0.1, decades=1.0, score=0.5, signal_start="flowing")[:-1]
    figure, (gain, _, _), entries = drawn(frame)
    assert not gain.texts
    assert list(entries) == ["no run"]
    labels = [label.get_text() for label in gain.get_xticklabels()]
    assert len(labels) == factors.MOST_TICKS
    assert (labels[0], labels[-1]) == ("0", "59")
    render(figure, tmp_path, "png")


@pytest.mark.parametrize(
    ("log10", "text"), [(0.0, "1.00"), (-0.3, "0.50"), (2.0, "100"), (-12.34, "10⁻¹²·³"), (40.0, "10⁴⁰")]
)
def test_gains_are_written_as_factors_or_powers_of_ten(log10, text):
    assert factors._gain_text(log10) == text


@pytest.mark.parametrize(("decades", "text"), [(0.0, "0.0"), (-0.04, "0.0"), (-3.21, "−3.2"), (12.3, "+12")])
def test_decades_have_a_sign(decades, text):
    assert factors._decades_text(decades) == text
