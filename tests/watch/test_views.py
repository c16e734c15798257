"""What a terminal shows of a run and of a study, at every width, and what its keys do."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from gradlab.recipe.errors import RecipeError
from gradlab.report.watch.drawing import Space
from gradlab.report.watch.keys import DOWN, ENTER, ESCAPE, UP
from gradlab.report.watch.studied import QUIET_SECONDS, Study
from gradlab.report.watch.views import RunWatch, StudyWatch, view_of
from tests import runs
from tests.growing import GrowingRun


def drawn(view, width=100, height=40, plain=False, **console):
    """The text of a view, as a console of this size exports it."""
    terminal = {"file": io.StringIO(), "force_terminal": True, "record": True}
    recorder = Console(width=width, height=height, **terminal, **console)
    recorder.print(view.draw(Space(width, height, plain)))
    return recorder.file.getvalue() if console else recorder.export_text()


@pytest.fixture
def watched(grown):
    grown.grow(0, 10)
    grown.grow(10, 40)
    view = RunWatch(grown.folder)
    view.look()
    return view


@pytest.mark.parametrize("width", [60, 80, 140, 200])
@pytest.mark.parametrize("height", [10, 24, 50])
def test_a_view_fits_and_no_word_is_broken(watched, width, height):
    text = drawn(watched, width, height)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= height
    words = set(drawn(watched, 200, 50).split())
    sentences = [line for line in lines if "│" not in line and "━" not in line]
    assert {word for line in sentences[:8] for word in re.findall(r"[a-z]{4,}", line)} <= {
        found for word in words for found in re.findall(r"[a-z]{4,}", word)
    }


def test_a_view_has_what_is_known(watched):
    text = drawn(watched)
    assert "running · 40/100 steps · 5 s elapsed, about 6 s left" in text
    assert "loss 0.6" in text
    assert "accuracy train 0.75, test 0.50" in text
    for heading in ("← backward", "forward →", "backward signal, layer × step:", "over depth at step 39"):
        assert heading in text
    assert re.search(r"signal +flowing", text)
    assert "so far 39 of 100 steps" in " ".join(text.split())
    assert "━" * 8 + "╌" * 12 in text


def test_the_share_of_steps_on_which_the_clip_acted_is_shown(tmp_path):
    grown = GrowingRun(tmp_path / "study" / "run", clip={"name": "norm", "threshold": 1.0})
    grown.grow(0, 10)
    view = RunWatch(grown.folder)
    assert "clip acted on 100 % of steps" in " ".join(view.look())
    grown.lock.close()


def test_the_view_moves_with_the_run(grown, watched):
    before = drawn(watched)
    assert drawn(watched).splitlines()[3:] == before.splitlines()[3:]
    grown.grow(40, 70)
    watched.look()
    after = drawn(watched)
    assert "70/100" in after
    columns = [
        text.splitlines()[-2].count("▒") + text.splitlines()[-2].count("▓") for text in (before, after)
    ]
    assert len(after.splitlines()[-2].rstrip()) > len(before.splitlines()[-2].rstrip()), columns


def test_a_view_sets_no_background_and_is_the_same_text_without_colours(watched):
    coloured = drawn(watched, color_system="standard")
    codes = {code for found in re.findall(r"\x1b\[([\d;]*)m", coloured) for code in found.split(";")}
    assert {"34", "32"} <= codes
    assert not [code for code in codes if code.isdigit() and (40 <= int(code) <= 49 or int(code) >= 90)]
    without = drawn(watched, color_system="standard", no_color=True)
    assert not re.search(r"\x1b\[[\d;]*3[1-7]m", without)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == re.sub(r"\x1b\[[\d;]*m", "", without)


def test_a_terminal_without_other_characters_gets_ascii_curves(watched):
    lines = [line for line in drawn(watched, plain=True).splitlines() if "|" in line]
    assert len(lines) > 8
    assert all(line.isascii() for line in lines)


def test_a_run_that_compiles_is_said_to(grown):
    view = RunWatch(grown.folder)
    view.look()
    assert re.search(r"compiling … \d+ s", drawn(view))


def test_a_killed_run_is_said_to_be_and_is_over(grown, watched):
    grown.kill()
    watched.look()
    assert watched.is_over
    assert "killed · 40/100 steps" in drawn(watched)
    assert "its process is gone; run the same command again to continue" in drawn(watched)


def test_a_run_that_ends_is_over(grown, watched):
    assert not watched.is_over
    grown.grow(40, 100)
    grown.finish()
    watched.look()
    assert watched.is_over
    assert "finished · 100/100 steps" in drawn(watched)
    assert "so far" not in drawn(watched)


@pytest.fixture
def study(tmp_path):
    """A study of two finished runs and one that is written, and that one."""
    for lr in (0.1, 0.2):
        runs.simple(tmp_path / "study" / f"lr-{lr}", lr=lr)
    grown = GrowingRun(tmp_path / "study" / "growing", lr=0.3)
    grown.grow(0, 20)
    yield StudyWatch(tmp_path / "study"), grown
    grown.lock.close()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_study_is_a_table(study, width):
    view, _ = study
    lines = view.look()
    assert len(lines) == 3
    text = drawn(view, width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "3 runs: 2 finished, 1 running" in text
    for cells in (r"running", r"lr=0.1", r"lr=0.3", r"20/100", r"100/100", r"0\.97", r"flowing, learned"):
        assert re.search(cells, text)
    assert text.index("lr=0.3") < text.index("lr=0.1")  # those that are written come first


def test_one_key_looks_into_a_run_and_one_goes_back(study):
    view, grown = study
    view.look()
    table = drawn(view)
    view.press(ENTER)
    assert "running · 20/100 steps" in drawn(view)
    grown.grow(20, 40)
    view.look()
    assert "running · 40/100 steps" in drawn(view)
    for key in (ESCAPE, DOWN, UP, DOWN, ENTER):
        view.press(key)
    assert "finished · 100/100 steps" in drawn(view)
    view.press(ENTER)
    assert drawn(view).splitlines()[1] == table.splitlines()[1]


def test_a_chosen_run_stays_chosen_when_the_order_changes(study, tmp_path):
    view, _ = study
    view.look()
    view.press(DOWN)
    chosen = next(line for line in drawn(view, 140).splitlines() if line.startswith(">")).split()[2]
    later = GrowingRun(tmp_path / "study" / "later", lr=0.4)
    later.grow(0, 5)
    view.look()
    assert next(line for line in drawn(view, 140).splitlines() if line.startswith(">")).split()[2] == chosen
    later.lock.close()


def test_a_study_is_over_when_no_run_has_been_written_for_a_while(study, tmp_path):
    _, grown = study
    watched = Study(tmp_path / "study")
    watched.look(0.0)
    assert not watched.is_over(100.0)
    grown.kill()
    assert [member.state for member in watched.look(101.0)] == ["killed"]
    assert not watched.is_over(101.0 + QUIET_SECONDS / 2)
    assert watched.is_over(101.0 + QUIET_SECONDS)
    stored = Study(tmp_path / "study")
    stored.look(0.0)
    assert stored.is_over(0.0)


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_shown(study):
    view, grown = study
    (grown.folder.parent / "lr-0.1" / "status.json").write_text("{")
    view.look()
    text = drawn(view, 140)
    assert "1 unreadable" in text
    assert "lr=0.2" in text


def test_a_path_need_not_be_there_yet(tmp_path):
    view = view_of(tmp_path / "study" / "run")
    assert view.look() == [f"waiting for a run to begin in {tmp_path / 'study' / 'run'}"]
    assert view.look() == []
    grown = GrowingRun(tmp_path / "study" / "run")
    grown.grow(0, 10)
    assert view.look()[0].startswith("running · 10/100 steps")
    grown.lock.close()
    view.look()
    assert view.is_over


def test_a_file_is_no_run(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="is not a folder"):
        view_of(tmp_path / "file")
