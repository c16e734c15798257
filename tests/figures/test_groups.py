import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from gradlab.figures import group_legend, style
from gradlab.figures.comparison import comparison
from gradlab.figures.groups import DASHES, MOST_NUMBERS, MOST_WORDS, group_runs, group_styles, too_many
from tests.figures.frames import data, legend, render
from tests.figures.test_comparison import study

WORDS = [f"x{i}" for i in range(MOST_WORDS)]
NUMBERS = list(range(MOST_NUMBERS))


@pytest.mark.parametrize("values", [WORDS, WORDS[:9], NUMBERS, [0.1, 0.2, None], ["a", None]])
def test_no_look_stands_for_two_groups(values):
    styles = group_styles(pd.Series(values))
    assert len(styles) == len(values)
    looks = [(str(look.colour), look.dashes(run)) for look in styles.values() for run in range(len(DASHES))]
    owners = [value for value in styles for _ in DASHES]
    for look in set(looks):
        assert len({owner for owner, other in zip(owners, looks, strict=True) if other == look}) == 1


@pytest.mark.parametrize("values", [WORDS, NUMBERS])
def test_one_group_more_than_looks_is_too_many(values):
    assert not too_many(pd.Series(values))
    assert too_many(pd.Series([*values, "one more" if values is WORDS else -1]))


def test_too_many_groups_are_drawn_as_one_with_its_median_and_every_single_run(tmp_path):
    names = [{"name": f"x{i}"} for i in range(MOST_WORDS + 1)]
    layers, steps = study(tmp_path, "initializer", depth=[4] * len(names), initializer=names)
    layers = layers.assign(log10_backward=layers.log10_backward.to_numpy(float) + np.arange(len(layers)) % 7)
    figure = comparison(layers, steps, "initializer")
    (median,) = data(figure.axes[0])
    start = layers[layers.step == 0]
    assert median.get_ydata() == pytest.approx(start.groupby("layer").log10_backward.median().to_numpy(float))
    (singles,) = [lines for lines in figure.axes[0].collections if lines.get_label() == "_singles"]
    drawn = np.array([segment[:, 1] for segment in singles.get_segments()])
    expected = start.pivot(index="run", columns="layer", values="log10_backward").to_numpy(float)
    assert np.array_equal(np.sort(drawn, axis=0), np.sort(expected, axis=0))
    assert (
        figure.legends[0].get_title().get_text().startswith("initializer: 33 groups, too many to tell apart")
    )


def test_too_many_runs_are_told_apart_as_curves(tmp_path):
    layers, steps = study(tmp_path, "lr", depth=[4] * (MOST_WORDS + 1), lr=[i / 100 for i in range(1, 34)])
    figure = comparison(layers, steps, "run")
    (singles,) = [lines for lines in figure.axes[0].collections if lines.get_label() == "_singles"]
    assert len(singles.get_segments()) == MOST_WORDS + 1
    assert legend(figure)[0] == "all runs (33 runs)"


def test_of_many_numbers_the_legend_names_some_with_both_ends(tmp_path):
    depths = list(range(2, 22))
    layers, steps = study(tmp_path, "depth", depth=depths)
    named = legend(comparison(layers, steps, "depth"))
    assert len(named) == group_legend.MOST_ENTRIES
    assert (named[0], named[-1]) == ("2", "21")
    assert len(group_runs(layers, "depth").styles) == len(depths)


@pytest.mark.parametrize(("count", "letters"), [(5, 10), (40, 10), (60, 50), (400, 80)])
def test_a_legend_takes_at_most_a_quarter_and_counts_what_it_leaves_out(tmp_path, count, letters):
    figure, _ = style.panels(2, 2, (12, 8.2), "")
    entries = {f"{i:03}" + "recipe=abc" * (letters // 10): Line2D([], []) for i in range(count)}
    style.draw_legend(figure, entries, "title", {"a mark": Line2D([], [])})
    render(figure, tmp_path)
    box = figure.legends[0].get_window_extent()
    assert box.height <= 0.26 * figure.bbox.height
    named = legend(figure)
    assert named[-1] == "a mark"
    if len(named) < count + 1:
        assert named[-2] == f"… and {count - len(named) + 2} more"
