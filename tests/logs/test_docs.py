"""docs/logs.md: its tables are read, its commands and its Python run, and it names every option."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

import gradlab
from gradlab.analysis.words import WEIGHTS
from gradlab.commands.main import main
from gradlab.commands.registry import flags
from gradlab.logs.roles import LAYERS, MEASURES, STEPS, UNITS
from tests.logs.writing import SAMPLES

PAGE = (Path(__file__).parents[2] / "docs" / "logs.md").read_text("utf-8")


@pytest.fixture
def files():
    """The tables of the page, and the logs of other programs that it names."""
    for name, content in re.findall(r"`(\w+\.csv)`:\n\n```csv\n(.*?)```", PAGE, re.DOTALL):
        Path(name).write_text(content)
    for name in ("trainer_state.json", "metrics.csv"):
        shutil.copy(SAMPLES / name, name)


@pytest.mark.usefixtures("files")
def test_every_block_of_the_page_runs(capsys):
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        if language == "python":
            space: dict = {}
            exec(block, space)
            assert space["frame"].shape[0] == 100 * 12
            continue
        for line in block.splitlines():
            assert main(shlex.split(line)[1:]) == 0, line
    said = capsys.readouterr()
    assert said.err == ""
    assert "signal      flowing: −1.1 decades from layer 3 back to layer 1" in said.out
    assert set(gradlab.study("outputs").run) == {"norms", "squares", "second", "first", "lightning", "run"}


@pytest.mark.usefixtures("files")
def test_the_table_of_squared_norms_is_what_it_says():
    assert (
        main(shlex.split(next(line for line in PAGE.splitlines() if "ingest squares.csv" in line))[1:]) == 0
    )
    frame = gradlab.load("outputs/ingested/squares")
    assert (10 ** frame.log10_gradient.astype(float)).tolist() == pytest.approx([2, 1, 0.5, 1, 0.2, 0.1])


def test_every_option_and_every_name_that_is_found_is_in_the_page():
    options = {flag.names[-1] for flag in flags("ingest")}
    assert all(f"`{option}" in PAGE for option in options)
    assert all(f"`{word}`" in PAGE for word in (*LAYERS, *MEASURES, *UNITS))
    assert sum(f"`{word}`" in PAGE for word in STEPS) >= len(STEPS) - 1
    assert all(word.removeprefix("weight gradient ") in PAGE for word in WEIGHTS)
