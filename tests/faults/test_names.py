"""Ten thousand hostile names, wherever a command takes one: an answer in one line, no traceback, no file elsewhere."""

import functools
import os
import random
import shutil
from pathlib import Path

import pytest

from gradlab.commands.main import main
from gradlab.recipe import errors
from tests import runs

PIECES = [
    *(
        "",
        " ",
        ".",
        "..",
        "/",
        "//",
        "../",
        "~",
        "~root",
        "-",
        "--",
        "-x",
        "=",
        ",",
        ":",
        ";",
        "'",
        '"',
        "`",
        "\\",
    ),
    *(
        "\0",
        "\n",
        "\r",
        "\t",
        "\x1b[2J",
        "\x07",
        "\x7f",
        "\x9b",
        "\u202e",
        "\u2066",
        "\u200b",
        "\ufeff",
        "\u2028",
    ),
    *("\udcff", "e\u0301", "手写", "😀", "\U000e0041", "ﬁ", "K", "ſ", "𝐝𝐞𝐩𝐭𝐡", "x" * 300, "x" * 5000),
    *(
        "con",
        "nul",
        "hydra",
        "__class__",
        "__init__",
        "self",
        "default",
        "mlp",
        "depth",
        "clip",
        "norm",
        "name",
    ),
    *(
        "{0.__class__}",
        "{}",
        "%s",
        "%n",
        "$HOME",
        "${depth}",
        "${oc.env:HOME}",
        "$(id)",
        "`id`",
        "|",
        "&",
        "&&",
        ">",
    ),
    *(
        "!!python/name:os.system",
        "&a",
        "*a",
        "yes",
        "null",
        "true",
        ".nan",
        "0x1f",
        "1e999",
        "1_000",
        "-1",
        "9" * 400,
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        "[]",
        "{}",
        "(",
        ")",
        "#",
        "@",
        "^",
        "!",
        "?",
        "*",
        "+",
        "++",
        "~x",
        "os:system",
        "a.b:c",
    ),
    *(
        "range(3)",
        "choice(1,2)",
        "glob(*)",
        "sort(1)",
        "<script>",
        "a/b",
        "/etc/passwd",
        "/dev/zero",
        "CON:",
        "a\\b",
    ),
]
GOLDEN = Path(__file__).parent.parent / "store" / "golden"
STUDY, RUN = "STUDY", "RUN"
PLACES = [
    *(["NAME"], ["NAME", "NAME"], ["ls", "NAME"], ["diagnose", "NAME"], ["compare", "NAME"], ["plot", "NAME"]),
    *(["fsck", "NAME"], ["suggest-clip", "NAME"], ["--completion", "NAME"], ["ls", "--NAME"], ["diagnose", "-NAME"]),
    *(["plot", RUN, "--kind", "NAME"], ["plot", RUN, "--column", "NAME"], ["plot", RUN, "--format", "NAME"]),
    *(["compare", STUDY, "--by", "NAME"], ["diagnose", STUDY, "--fail-on", "NAME"], ["diagnose", STUDY, "NAME"]),
    *(["compare", STUDY, "--out", "NAME"], ["suggest-clip", RUN, "--threshold", "NAME"]),
    *(["run", "--cfg", "job", word] for word in ("NAME", "study=NAME", "model=NAME", "experiment=NAME", "NAME=1")),
    *(["run", "--cfg", "job", word] for word in ("clip.NAME=1", "depth=NAME", "data.path=NAME", "+NAME")),
    *(["run", "--cfg", "job", word] for word in ("probe=[NAME]", "--config-dir=NAME", "--NAME")),
    *(["run", "--cfg", "job", "--fail-on", "NAME"], ["lr-find", "NAME=x"]),
    ["run", "-m", "--cfg", "job", "depth=2,NAME"],
]  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a study of two runs, beside which nothing may be written."""
    folder = tmp_path / "here"
    for number in range(2):
        runs.simple(folder / "outputs" / "study" / f"run{number}", lr=0.1 + number)
    shutil.copytree(GOLDEN / "schema3_mlp", folder / "outputs" / "run")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return folder


def listed(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir()}


def complaint(words: list[str], here: Path, capsys) -> str:
    """What is wrong with the answer to a command, "" where it is as it should be."""
    before = listed(here.parent)
    try:
        code = main(words)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    printed = capsys.readouterr()
    written = {path for path, time in listed(here.parent).items() if before.get(path) != time}
    allowed = str(here)
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if any(not path.startswith(allowed) for path in written):
        return f"wrote {written}"
    if len(printed.err.splitlines()) > 1 or (code == 2) != bool(printed.err):
        return f"said {printed.err!r}, exit code {code}"
    if bad := [c for c in printed.out + printed.err if not (c.isprintable() or c in "\n ")]:
        return f"printed {bad}"
    return ""


def wrong(count: int, seed: int, here: Path, capsys) -> list[tuple[list[str], str]]:
    """The commands with hostile names whose answers are wrong."""
    draw = random.Random(seed)
    found = []
    for index in range(count):
        name = "".join(draw.choices(PIECES, k=draw.choice((1, 1, 2, 3))))
        place = PLACES[index % len(PLACES)]
        if os.path.normpath(name) in ("/", "//", ".."):  # a walk through all of a disk takes its time
            name = "x"
        given = {"NAME": name, STUDY: "outputs/study", RUN: "outputs/run"}
        words = [
            functools.reduce(lambda text, key: text.replace(key, given[key]), given, word) for word in place
        ]
        if "--out" in words:  # whoever names a path elsewhere means it
            words[-1] = words[-1].replace("/", "").replace("..", "")
        if problem := complaint(words, here, capsys):
            found.append((words, problem))
    return found


def test_two_hundred_names(here, capsys):
    assert wrong(200, 0, here, capsys) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_thousand_names(here, capsys, seed):
    assert wrong(1000, seed, here, capsys) == []


def test_control_without_it_a_name_forges_a_line(here, capsys, monkeypatch):
    words = ["ls", "x\ngradlab: all is well"]
    assert complaint(words, here, capsys) == ""
    monkeypatch.setattr(errors, "one_line", str)
    assert "exit code 2" in complaint(words, here, capsys)
