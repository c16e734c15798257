"""Sentences on a terminal are broken between words and indented; in a pipe they stay in one line."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gradlab.report.output import Output
from gradlab.report.summary import start_and_end
from gradlab.report.wrapping import NAME_WIDTH, lines_of
from gradlab.store.read import open_run
from tests import runs

SENTENCE = (
    "learned: loss 2.35 → 0.09, test accuracy 0.97 (chance level 0.12); the clip acted on 45 % of the steps"
)
PATH = "outputs/default/mlp-d30-tanh-orthogonal-clip_norm-bfec334d/figures/"


def test_further_lines_stand_below_the_first_word():
    lines = lines_of("training", SENTENCE, 60)
    assert lines[0].startswith("training    learned: loss")
    assert len(lines) == 3
    assert all(line.startswith(" " * NAME_WIDTH) and line[NAME_WIDTH] != " " for line in lines[1:])
    assert lines_of("", SENTENCE, 60)[1].startswith("  ")


@given(st.lists(st.text("abc/-_=", min_size=1, max_size=40), min_size=1, max_size=30), st.integers(30, 200))
def test_nothing_is_lost_and_no_line_is_too_long(words, width):
    lines = lines_of("signal", " ".join(words), width)
    assert "".join("".join(lines).split()) == "signal" + "".join(words)
    for line in lines:
        pieces = line.split()
        # only what cannot be broken may be longer
        assert len(line) <= width or not set(pieces[-1][:-1]) & set("/-_=")


def test_a_path_that_is_too_long_is_broken_behind_a_folder():
    lines = lines_of("stored", f"{PATH}  (cpu)", 60)
    assert lines[0] == "stored      outputs/default/"
    assert lines[1].strip() == "mlp-d30-tanh-orthogonal-clip_norm-bfec334d/"
    assert "".join("".join(lines).split()) == f"stored{PATH}(cpu)"


def printed(width, **console):
    output = Output(quiet=False)
    output.console = Console(file=io.StringIO(), width=width, highlight=False, **console)
    output.tell("training", SENTENCE)
    return output.console.file.getvalue().splitlines()


def test_a_terminal_gets_lines_and_a_pipe_one():
    assert len(printed(80, force_terminal=True)) == 2
    assert max(map(len, printed(80, force_terminal=True))) <= 80
    assert printed(80) == [f"training    {SENTENCE}"]


def test_a_table_that_is_too_wide_is_turned(tmp_path):
    run = open_run(runs.simple(tmp_path / "run"))
    wide, turned = start_and_end(run).splitlines(), start_and_end(run, 60).splitlines()
    assert max(map(len, turned)) <= 60 < max(map(len, wide))
    ends = [line.split()[-1] for line in turned if "‖gradient‖" not in line]  # which was not measured
    assert ends == wide[-1].split()
    assert start_and_end(run, 200).splitlines() == wide
