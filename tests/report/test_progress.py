"""Progress on a terminal and in a log: the same numbers, the backward signal on a fixed scale."""

import io
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from gradlab.report.progress import (
    LEVELS,
    _Shown,
    depth_profiles,
    progress_display,
    progress_line,
    sparkline,
)


def progress(step: int, steps: int = 100, backward: np.ndarray | None = None) -> SimpleNamespace:
    signal = np.zeros(10) if backward is None else backward
    profiles = {"log10_backward": np.ma.masked_array(signal, False)}
    numbers = {"step": step, "steps": steps, "loss": 0.421, "steps_per_second": 249.7}
    return SimpleNamespace(**numbers, backward=signal, profiles=profiles)


def test_a_level_is_half_a_decade_and_the_last_hidden_layer_stands_in_the_middle():
    hidden = np.array([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 0.0]) - 7
    assert sparkline(np.concatenate([[9.0], hidden, [9.0]]), width=9) == LEVELS + LEVELS[3]


def test_the_scale_is_fixed_whatever_the_range():
    steep = np.linspace(-40.0, 0.0, 52)
    assert sparkline(steep)[0] == LEVELS[0]
    assert sparkline(-steep)[0] == LEVELS[-1]
    assert sparkline(steep)[-1] == LEVELS[3]


def test_zeros_and_numbers_that_are_not_finite_are_marked():
    assert sparkline(np.array([0.0, -np.inf, np.nan, np.inf, 0.0, 0.0])) == f"0××{LEVELS[3]}"


def test_one_hidden_layer_has_one_level():
    assert sparkline(np.zeros(3)) == LEVELS[3]


def test_a_lost_last_layer_is_no_reference():
    assert sparkline(np.array([0.0, 1.0, np.nan, 0.0])) == f"{LEVELS[-1]}×"


def test_a_line_says_step_speed_loss_and_signal():
    assert progress_line(progress(50)) == f"50/100 · 250 steps/s · loss 0.421 · backward {LEVELS[3] * 8}"


def test_a_log_gets_plain_lines_the_last_among_them():
    console = Console(file=io.StringIO(), force_terminal=False)
    with progress_display(100, console) as show:
        for step in range(0, 101, 10):
            show(progress(step))
    lines = console.file.getvalue().splitlines()
    assert lines[-1].startswith("100/100 · ")
    assert len(lines) == 2  # eleven chunks within two seconds


@pytest.mark.parametrize("steps", [0, 100])
def test_a_terminal_gets_a_bar_that_ends_full(steps):
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with progress_display(steps, console) as show:
        show(progress(steps, steps))
    assert (f"{steps}/{steps}" if steps else "0 steps") in console.file.getvalue()
    assert "━" * 24 in console.file.getvalue()


def shown(width: int, *reports: SimpleNamespace) -> list[str]:
    """The lines that a terminal of this width shows after these reports, 30 seconds after the start."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, record=True)
    display = _Shown(100, console, time.monotonic() - 30)
    for report in reports:
        display.update(report)
    console.print(display.draw())
    return console.export_text().splitlines()


def test_a_terminal_says_for_how_long_it_has_been_compiling():
    assert shown(60) == ["╌" * 24 + " compiling … 30 s"]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_terminal_shows_the_time_and_the_profile_over_depth(width):
    lines = shown(width, progress(50, backward=np.linspace(-8.4, 0.3, 20)))
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("━" * 12 + "╌" * 12 + " 50/100")
    text = " ".join(" ".join(lines).split())
    assert "30 s elapsed, about 0 s left" in text  # 50 steps at 250 steps/s
    assert "loss 0.421" in text
    assert [line.partition("│")[0].strip() for line in lines if "│" in line] == ["1e+1", "", "", "1e-9"]
    assert lines[-1].split() == ["0", "19"]


def test_the_profile_moves():
    first = shown(80, progress(10, backward=np.linspace(-0.4, 0.3, 20)))
    later = shown(80, progress(20, backward=np.linspace(-0.6, 0.3, 20)))
    assert first[-5:] != later[-5:]


def test_a_layer_that_was_not_measured_is_left_out():
    columns = {"log10_gradient": np.ma.masked_array([0.0, -1.0, -2.0], [True, False, False])}
    assert depth_profiles(columns)["gradient"].layers.tolist() == [1, 2]


def test_a_quiet_run_shows_no_progress():
    with progress_display(100, None) as show:
        assert show is None
