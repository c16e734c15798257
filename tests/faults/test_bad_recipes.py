"""Bad recipes on the command line: one clear line, exit code 2, no folder, within seconds.

The attacks are in `recipe_attacks.py`. Each safeguard has a control: with it switched off, the attack succeeds.
"""

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

import gradlab
from gradlab.commands.compose import grid as grids
from gradlab.commands.compose import overrides, vetting
from gradlab.commands.compose.grid import grid
from gradlab.commands.main import main
from gradlab.engine import checks, layout
from gradlab.launch import run as launching
from gradlab.recipe import errors, options
from gradlab.recipe.bounds import Bound
from gradlab.recipe.errors import RecipeError
from tests.faults.recipe_attacks import CLASSES, Attack, Key, keys, spread
from tests.faults.test_data_files import Hang, confined
from tests.recipes import TINY

SECONDS = 6.0  # for any recipe
DEFAULT = {"values": 45, "spelling": 12, "combinations": 8, "imports": 10, "sweeps": 36, "words": 25}
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
        most = grids.MOST_ERRORS + 1 if "-m" in words else 1
        clear = all(line.strip() and len(line) < 1000 for line in outcome.lines)
        made = [path.name for path in Path().iterdir()]
        if outcome.code != 2 or not 1 <= len(outcome.lines) <= most or not clear or made:
            wrong[kind] = outcome, made
        for name in made:
            shutil.rmtree(name)
    assert wrong == {}


@pytest.mark.parametrize("of", CLASSES)
def test_a_bad_recipe_is_refused_in_one_line(run, of):
    assert_refused(run, spread(CLASSES[of](), DEFAULT.get(of, 7)))


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


def _default(key: Key) -> str | None:
    """What the file of an option, or `conf/config.yaml`, says of a key; None where it says nothing."""
    if not key.choice:
        return options.keys().get(key.key, (None, ""))[0]
    group, _, name = key.choice[0].partition("=")
    return options.parameters(group, name.strip("[]")).get(key.key.rpartition(".")[2])


GOOD = [(key, value) for key in keys() if (value := _default(key)) not in (None, "???")]


def assert_accepted(cases: list[tuple[Key, str]]) -> None:
    """Each good value, given as bad ones are, makes a recipe; a part that needs other parts has no recipe alone."""
    accepted = 0
    for key, value in cases:
        with suppress(RecipeError):
            grid(key.choice)
            grid([*key.choice, f"{key.key}={value}"])
            accepted += 1
    assert accepted > 0.8 * len(cases)


def test_control_a_good_value_of_each_key_is_accepted():
    assert_accepted(GOOD[:: len(GOOD) // 8])


@pytest.mark.slow
def test_control_every_good_value_is_accepted():
    assert_accepted(GOOD[::3])


def test_control_a_good_run_makes_its_folder(run):
    assert run(*TINY, "clip=norm", "clip.threshold=0.5") == ("Accepted", [])
    assert [path.name for path in Path().iterdir()] == ["outputs"]


BOUNDED = [
    "depth=0",
    "depth=2.5",
    "depth=true",
    "seeds=-1",
    "lr=nan",
    "lr=-inf",
    "dropout=1.0",
    "dtype=float8",
    "remat=1",
]
BOUNDED += [
    "clip=norm clip.threshold=0",
    "clip=norm clip.where=nowhere",
    "depth=1000000000",
    "data.test_fraction=2.0",
    "data.seed=0.5",
]


@pytest.mark.few(5)
@pytest.mark.parametrize("words", BOUNDED)
def test_control_without_its_bound_a_bad_value_is_accepted(monkeypatch, words):
    with pytest.raises(RecipeError):
        grid(words.split())
    monkeypatch.setattr(Bound, "check", lambda self, key, value: value)
    monkeypatch.setattr(checks, "checked_combination", lambda recipe: recipe)
    assert len(grid(words.split()).recipes) == 1


SAFEGUARDS = {  # what is switched off, and the words that are then not refused in time
    "the values of a range are counted": (
        overrides,
        "_check_range",
        lambda *_: None,
        "depth=shuffle(range(0,1e12))",
    ),
    "a list has an end": (overrides, "LONGEST_LIST", 10**9, f"depth=[{'1,' * 40_000}1]"),
    "a word has an end": (overrides, "LONGEST_WORD", 10**9, "depth=" + "-1" * 1_000_000),
    "a function's name begins where a word does": (
        vetting,
        "_FUNCTION",
        re.compile(r"[\w.]+:[\w.]+"),
        "depth=" + "x" * 90_000,
    ),
    "errors are counted": (grids, "MOST_ERRORS", 10**9, "depth=range(-9999,0)"),
    "the state has a size": (layout, "_check_memory", lambda *_: None, "seeds=1000000000"),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("safeguard", SAFEGUARDS)
def test_control_without_a_safeguard_it_takes_long(run, monkeypatch, safeguard):
    place, name, off, words = SAFEGUARDS[safeguard]
    assert run("-m", *words.split()).code == 2
    monkeypatch.setattr(place, name, off)
    assert run("-m", *words.split(), seconds=1.0).code in ("Hang", "MemoryError")


def test_control_without_its_net_the_parser_raises_python_s_errors(run, monkeypatch):
    word = f"depth={'9' * 5000}"
    assert run(word).code == 2
    monkeypatch.setattr(overrides, "RecipeError", lambda message: ArithmeticError(message))
    assert "traceback" in str(run(word).code)


def test_a_long_line_keeps_its_ends(monkeypatch):
    message = "'" + "x" * 10**6 + "' is not key=value"
    assert re.fullmatch(r"'x+… \(.* characters\) …x+' is not key=value", str(RecipeError(message)))
    assert len(str(RecipeError(message))) < 900
    monkeypatch.setattr(errors, "shortened", lambda line: line)
    assert len(str(RecipeError(message))) > 10**6


@pytest.mark.parametrize(
    "word", ["seed=[[1]]", "lr=['0.1']", {"seed": [[1, 2]]}, {"clip__threshold": 10**400}]
)
def test_a_bad_keyword_of_the_function_is_refused_too(word):
    with pytest.raises(RecipeError):
        gradlab.run(**word) if isinstance(word, dict) else gradlab.run(word)


def test_the_lists_of_a_grid_are_lists_and_their_texts_lose_their_quotes():
    chosen = grid(["probe=['forward'],['backward','weight']"], multirun=True).recipes
    assert [list(recipe.probes) for recipe in chosen] == [["forward"], ["backward", "weight"]]


@pytest.mark.parametrize("name", ["a\0b", "\udcff"])
def test_a_name_that_no_file_can_hold_is_refused(run, monkeypatch, name):
    assert run(*TINY, f"outputs='{name}'").code == 2
    assert not any(Path().iterdir())
    monkeypatch.setattr(grids, "NO_TEXT", re.compile("(?!)"))
    assert run(*TINY, f"outputs='{name}'").code != 2
