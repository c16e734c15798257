"""Bad recipes on the command line: one clear line, exit code 2, no folder, within seconds.

The attacks are in `recipe_attacks.py`. Each safeguard has a control: with it switched off, the attack succeeds.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from gradlab.commands.main import main
from gradlab.launch import run as launching
from tests.faults.recipe_attacks import CLASSES, Attack, keys, spread
from tests.faults.test_data_files import Hang, confined

SECONDS = 6.0  # for any recipe
DEFAULT = {"values": 50, "spelling": 15, "combinations": 8, "imports": 12, "sweeps": 36, "words": 20}
SLOW = {"values": 600, "spelling": 200, "combinations": 150, "imports": 150}  # of the other classes all


class Accepted(BaseException):
    """The recipe is accepted, its folder is made, and its training would begin now."""


class Outcome(NamedTuple):
    """What `gradlab run` made of some words."""

    code: int | str
    lines: list[str]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch, capsys):
    """`gradlab run WORDS` up to where training would begin."""

    def accept(*_):
        raise Accepted

    monkeypatch.setattr(launching, "RunWriter", accept)

    def run_words(*words: str, seconds: float = SECONDS) -> Outcome:
        try:
            with confined(seconds):
                code: int | str = main(["run", *words])
        except (Accepted, Hang, MemoryError) as end:
            code = type(end).__name__
        except Exception as error:
            code = f"traceback of {type(error).__name__}: {error}"[:200]
        return Outcome(code, capsys.readouterr().err.splitlines())

    return run_words


def assert_refused(run, attacks: list[Attack]) -> None:
    """Each attack is refused in one line; with -m, in one for each of its values."""
    wrong = {}
    for kind, words in attacks:
        outcome = run(*words)
        most = 20 if "-m" in words else 1
        clear = all(line.strip() and len(line) < 1000 for line in outcome.lines)
        if outcome.code != 2 or not 1 <= len(outcome.lines) <= most or not clear or any(Path().iterdir()):
            wrong[kind] = outcome
    assert wrong == {}


@pytest.mark.parametrize("of", CLASSES)
def test_a_bad_recipe_is_refused_in_one_line(run, of):
    assert_refused(run, spread(CLASSES[of](), DEFAULT.get(of, 8)))


@pytest.mark.slow
@pytest.mark.parametrize("of", CLASSES)
def test_every_bad_recipe_is_refused_in_one_line(run, of):
    assert_refused(run, spread(CLASSES[of](), SLOW.get(of, 10_000)))


def test_every_part_is_attacked():
    """A part that is added is in the attacks by being there."""
    attacked = {word for _, words in CLASSES["values"]() for word in words}
    names = {f"{key.choice[0]}" for key in keys() if key.choice}
    assert names <= attacked
    assert len(names) > 80
    assert sum(len(list(attacks())) for attacks in CLASSES.values()) > 1000
