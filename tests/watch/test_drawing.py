"""Curves and heat maps as characters, against what each character must say of the numbers."""

import math

import numpy as np
import pytest

from gradlab.report.watch.braille import DOTS, FIRST_BRAILLE, Profile, curve, ends
from gradlab.report.watch.heat_map import MOST_STEPS, SHADES, History, heat_map, scale


def profile(values, layers=None, last=None):
    values = np.asarray(values, dtype=float)
    layers = np.arange(len(values)) if layers is None else np.asarray(layers)
    return Profile(layers, values, len(values) - 1 if last is None else last)


def dots(lines):
    """The dots of a curve's lines, which end with that of the axis: (rows, columns) from the top."""
    body = [line.partition("│")[2] for line in lines[:-1]]
    width = max(map(len, body))
    found = np.zeros((4 * len(body), 2 * width), bool)
    for row, line in enumerate(body):
        for column, character in enumerate(line):
            bits = ord(character) - FIRST_BRAILLE if character != " " else 0
            for (y, x), bit in np.ndenumerate(DOTS):
                found[4 * row + y, 2 * column + x] = bool(bits & bit)
    return found


@pytest.mark.parametrize(("count", "width", "height"), [(5, 30, 4), (22, 20, 3), (52, 40, 6), (400, 25, 4)])
def test_each_layer_has_its_dot(count, width, height):
    values = np.random.default_rng(count).uniform(-7.9, 2.9, count)
    found = dots(curve(profile(values), width, height))
    rows, columns = found.shape
    low, high = math.floor(values.min()), math.ceil(values.max())
    for layer, value in enumerate(values):
        column = round(layer * (columns - 1) / (count - 1))
        row = round((1 - (value - low) / (high - low)) * (rows - 1))
        assert found[row, column]


def test_the_ends_are_whole_powers_of_ten_that_stand_beside_the_axis():
    lines = curve(profile([-12.3, -4.0, 0.2]), 30, 4)
    assert [line.partition("│")[0].strip() for line in lines[:-1]] == ["1e+1", "", "", "1e-13"]
    assert lines[-1].split() == ["0", "2"]
    assert all(len(line) <= 30 for line in lines)
    assert ends(np.array([0.0, 0.0])) == (0, 1)
    assert ends(np.array([math.nan, -math.inf])) == (0, 1)


def test_a_falling_signal_falls():
    found = dots(curve(profile(np.linspace(0, -10, 20)), 40, 5))
    tops = found.argmax(0)
    assert (np.diff(tops) >= 0).all()
    assert (tops[0], tops[-1]) == (0, found.shape[0] - 1)


def test_a_zero_is_at_the_lower_edge_and_what_is_not_finite_at_the_upper_one():
    lines = curve(profile([0.5, -math.inf, 0.5, math.nan, math.inf]), 9, 3)
    top, bottom = lines[0].partition("│")[2], lines[2].partition("│")[2]
    assert top.count("×") == 2
    assert bottom.count("0") == 1
    assert bottom[round(1 * (len(bottom) - 1) / 4)] == "0"


def test_a_layer_that_was_not_measured_has_no_mark():
    lines = curve(profile([-1.0, -2.0, -3.0], layers=[1, 2, 4], last=6), 30, 4)
    found = dots(lines).any(0)
    assert not found[:3].any()
    assert not found[-12:].any()
    assert "×" not in "".join(lines)
    assert lines[-1].split() == ["0", "6"]


def test_plain_lines_are_of_ascii():
    text = "".join(curve(profile([0.5, -math.inf, math.nan, -7]), 20, 3, plain=True))
    assert text.isascii()
    assert "x" in text
    assert "*" in text


def history(profiles, every=1):
    made = History()
    profiles = np.asarray(profiles, dtype=float)
    made.add(np.arange(profiles.shape[1]), np.arange(len(profiles)) * every, profiles)
    return made


def test_a_cell_is_the_newest_measured_step_of_its_column():
    profiles = np.random.default_rng(0).uniform(-9.9, -0.1, (41, 6))
    lines = heat_map(history(profiles), 100, 30, 6)
    assert [line.partition("│")[0] for line in lines[:-1]] == ["5", " ", " ", " ", " ", "0"]
    cells = [line.partition("│")[2] for line in lines[:-1]]
    steps = np.arange(41)
    for column in range(28):
        reached = steps[steps * 28 // 100 <= column]
        if column > 40 * 28 // 100:
            assert all(len(line) <= column for line in cells)
            continue
        for line, layer in zip(cells, range(5, -1, -1), strict=True):
            level = int((profiles[reached[-1], layer] + 10) / 10 * 5)
            assert line[column] == SHADES[level]
    assert lines[-1].split() == ["0", "100"]


def test_the_map_grows_with_the_steps():
    widths = [len(heat_map(history(np.zeros((count, 4))), 50, 60, 4)[0]) for count in (1, 10, 30, 51)]
    assert widths == sorted(set(widths))
    assert widths[-1] == 60


def test_zeros_and_numbers_that_are_not_finite_have_their_sign_and_are_explained():
    made = history([[0.0, -math.inf, -1.0], [0.0, -1.0, math.nan]])
    text = "".join(heat_map(made, 1, 20, 3))
    assert "0" in text.partition("│")[2]
    assert "×" in text
    assert scale(made) == "· 1e-1 ░▒▓ █ 1, 0 exactly zero, × not finite"
    assert scale(history([[0.0, -1.0]])) == "· 1e-1 ░▒▓ █ 1"


def test_more_layers_than_lines_are_averaged():
    lines = heat_map(history([[-9.0, -9.0, -1.0, -1.0]]), 1, 10, 2)
    assert [line.partition("│")[2][0] for line in lines[:2]] == [SHADES[-1], SHADES[0]]


def test_a_long_history_is_thinned_evenly():
    made = History()
    for first in range(0, 5000, 100):
        made.add(np.arange(3), np.arange(first, first + 100), np.zeros((100, 3)))
    assert MOST_STEPS // 2 <= len(made.steps) <= MOST_STEPS
    assert len(set(np.diff(made.steps))) == 1
    assert made.steps[0] == 0
    assert made.steps[-1] >= 5000 - made.stride
