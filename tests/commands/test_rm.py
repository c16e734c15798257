"""`gradlab rm`: what goes, what stays and why, and what an interruption leaves."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gradlab.commands.main import main
from gradlab.report import pictures
from gradlab.store import files, lock, remove
from gradlab.store.read import folders
from tests import runs


@pytest.fixture
def study(tmp_path):
    """Four runs, of which one failed, beside a file of the user's."""
    for name, depth in zip("abcd", (10, 20, 30, 40), strict=True):
        folder = runs.simple(tmp_path / "big" / name, depth=depth)
        (folder / ".lock").touch()
        for place, file in (("checkpoint", "000000100-0123456789abcdef.npz"), ("figures", "profile.png")):
            (folder / place).mkdir()
            (folder / place / file).write_bytes(b"x" * 1000)
    (tmp_path / "big" / "d" / "status.json").write_text(json.dumps(runs.status("failed")))
    (tmp_path / "big" / "notes.txt").write_text("mine")
    return tmp_path / "big"


def names(study):
    return [folder.name for folder in folders(study)]


def everything(folder):
    """Each file below a folder with its content, but for locks, which name their last holder."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.read_bytes() for path in paths}


def answer(monkeypatch, text):
    """A person at a terminal who types this."""

    class Terminal:
        isatty = staticmethod(lambda: True)
        readline = staticmethod(lambda: text)

    monkeypatch.setattr(sys, "stdin", Terminal)


@pytest.mark.parametrize("suffix", pictures.FORMATS)
def test_a_run_with_figures_of_every_format_is_removed(study, suffix):
    (study / "a" / "figures" / f"spectrum.{suffix}").write_bytes(b"x")
    assert main(["rm", str(study / "a"), "--yes"]) == 0
    assert names(study) == ["b", "c", "d"]


def test_it_removes_the_runs_that_satisfy_the_condition(study, capsys):
    assert main(["rm", str(study), "--where", "depth>15 and state=finished", "--yes"]) == 0
    assert names(study) == ["a", "d"]
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[:2]] == [[str(study / name), "finished"] for name in "bc"]
    assert said[-1] == "2 runs removed"


def test_the_rows_of_the_study_follow(study):
    main(["ls", str(study)])
    main(["rm", str(study / "a"), "--yes"])
    assert pq.read_table(study / "study.parquet")["run"].to_pylist() == ["b", "c", "d"]


def test_a_study_without_runs_keeps_what_is_the_user_s(study):
    main(["ls", str(study)])
    assert main(["rm", str(study), "--yes"]) == 0
    assert [path.name for path in study.iterdir()] == ["notes.txt"]


def test_failed_runs_and_those_that_cannot_be_read_are_one_flag(study):
    (study / "b" / "status.json").write_text("{")
    assert main(["rm", str(study), "--failed", "--yes"]) == 0
    assert names(study) == ["a", "c"]


# ---- the question


@pytest.mark.parametrize(
    ("text", "left"), [("y\n", "bcd"), ("YES\n", "bcd"), ("n\n", "abcd"), ("\n", "abcd"), ("", "abcd")]
)
def test_it_asks(study, capsys, monkeypatch, text, left):
    answer(monkeypatch, text)
    assert main(["rm", str(study / "a")]) == 0
    size = sum(path.stat().st_size for path in everything(study.parent) if "a" in path.parts)
    assert "".join(names(study)) == left
    if left == "abcd":
        assert f"remove 1 run ({size / 1e3:.0f} kB)? [y/N]\nnothing was removed" in capsys.readouterr().out


def test_without_a_terminal_it_removes_nothing(study, capsys):
    before = everything(study / "a")
    assert main(["rm", str(study)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gradlab rm: 4 runs (")
    assert said.endswith("kB) would be removed, and nobody can be asked here; repeat it with --yes\n")
    assert everything(study / "a") == before


def test_without_a_path_it_removes_nothing(study, capsys, monkeypatch):
    monkeypatch.chdir(study.parent)
    assert main(["rm", "--yes"]) == 2
    assert "PATH" in capsys.readouterr().err
    assert names(study) == list("abcd")


def test_a_condition_that_no_run_satisfies_removes_nothing(study, capsys):
    assert main(["rm", str(study), "--where", "depth>1000", "--yes"]) == 0
    assert capsys.readouterr().out == "there is no run to remove\n"
    assert main(["rm", str(study), "--where", "not gain>0", "--yes"]) == 0  # null in the failed run
    assert names(study) == list("abcd")


@pytest.mark.parametrize("condition", ["dpth>1", "depth>", "depth>1 or"])
def test_a_mistake_in_the_condition_removes_nothing(study, condition):
    assert main(["rm", str(study), "--where", condition, "--yes"]) == 2
    assert names(study) == list("abcd")


# ---- what stays


def stays(study, capsys, name, reason):
    """Whether only this run stays, with a reason in one line, and with all of its files."""
    before = everything(study / name)
    assert main(["rm", str(study), "--yes"]) == 1
    assert names(study) == [name]
    assert everything(study / name) == before
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"stays: {study / name}")
    assert reason in line


def test_a_run_that_is_being_written_stays(study, capsys):
    with lock.hold(study / "b"):
        stays(study, capsys, "b", "is being written")


@pytest.mark.parametrize(
    "place",
    [
        "notes.txt",
        "layers/mine.csv",
        "checkpoint/best.pt",
        "sub/file",
        "figures/a.py",
        "steps/deeper/all.parquet",
    ],
)
def test_a_run_with_files_of_others_stays(study, capsys, place):
    (study / "b" / place).parent.mkdir(exist_ok=True, parents=True)
    (study / "b" / place).write_text("mine")
    stays(study, capsys, "b", "which gradlab did not write")


def test_a_folder_with_a_recipe_of_another_kind_stays(study, capsys):
    shutil.rmtree(study / "b")
    (study / "b").mkdir()
    (study / "b" / "recipe.yaml").write_text("flour: 500 g\n")
    stays(study, capsys, "b", "nothing else of a run")


@pytest.mark.parametrize(
    "place",
    ["layers", "steps/all.parquet", "status.json", "figures", "checkpoint/000000100-0123456789abcdef.npz"],
)
def test_a_run_with_a_link_stays_and_so_does_what_it_leads_to(study, capsys, tmp_path, place):
    moved = (study / "b" / place).rename(tmp_path / "elsewhere")
    (study / "b" / place).symlink_to(moved)
    before = everything(moved) if moved.is_dir() else moved.read_bytes()
    stays(study, capsys, "b", place)
    assert (everything(moved) if moved.is_dir() else moved.read_bytes()) == before


def test_a_link_to_a_run_is_not_followed(study, capsys, tmp_path):
    (tmp_path / "link").symlink_to(study / "a")
    assert main(["rm", str(tmp_path / "link"), "--yes"]) == 1
    assert "is a link" in capsys.readouterr().err
    assert names(study) == list("abcd")
    assert (tmp_path / "link").is_symlink()


def test_a_link_to_a_study_may_be_named(study, tmp_path):
    (tmp_path / "link").symlink_to(study)
    assert main(["rm", str(tmp_path / "link"), "--where", "depth=10", "--yes"]) == 0
    assert names(study) == list("bcd")


def test_a_run_that_changes_before_the_answer_stays(study, capsys, monkeypatch):
    class Terminal:
        isatty = staticmethod(lambda: True)

        @staticmethod
        def readline():
            (study / "a" / "status.json").write_text(json.dumps(runs.status(steps_done=7)))
            return "y"

    monkeypatch.setattr(sys, "stdin", Terminal)
    assert main(["rm", str(study / "a")]) == 1
    assert "has changed since it was listed" in capsys.readouterr().err
    assert names(study) == list("abcd")


# ---- faults


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO])
def test_a_file_system_that_lets_nothing_go_keeps_whole_runs(study, capsys, monkeypatch, number):
    before = everything(study)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "rename", refuse)
    assert main(["rm", str(study / "a"), str(study / "b"), "--yes"]) == 1
    assert capsys.readouterr().err.count(f"cannot be removed ({os.strerror(number)})") == 2
    assert {path: content for path, content in everything(study).items() if path in before} == before


KILLED = """
import os, sys
from gradlab.commands.main import main
from gradlab.store import remove
real, calls = os.{call}, []
def dying(*args, **keywords):
    if len(calls) == {after}:
        os.kill(os.getpid(), 9)
    calls.append(args)
    return real(*args, **keywords)
os.{call} = dying
main(["rm", sys.argv[1], "--yes"])
"""


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("call", "after"), [("replace", 0), ("unlink", 0), ("unlink", 3), ("rmdir", 0), ("rmdir", 4)]
)
def test_a_kill_leaves_a_whole_run_or_none(study, call, after):
    main(["ls", str(study)])
    before = everything(study / "a")
    script = KILLED.format(call=call, after=after)
    ran = subprocess.run([sys.executable, "-c", script, str(study / "a")], check=False)
    assert ran.returncode == -signal.SIGKILL
    gone = call != "replace"
    assert names(study) == list("bcd" if gone else "abcd")
    assert gone or everything(study / "a") == before
    assert len(remove.left_over(study)) == gone
    assert main(["rm", str(study), "--where", "depth>1000", "--yes"]) == 0  # the next one tidies up
    assert remove.left_over(study) == []


def test_what_has_a_hidden_name_and_files_of_others_is_kept(study):
    hidden = study / ".0123456789abcdef.removed"
    (study / "a").rename(hidden)
    (hidden / "notes.txt").write_text("mine")
    main(["rm", str(study / "b"), "--yes"])
    assert (hidden / "notes.txt").read_text() == "mine"
    assert (hidden / "status.json").exists()


def test_all_that_a_run_writes_is_known(study, tmp_path):
    """Parts, digests and a log beside what the fixture has."""
    for place in (
        "digests.txt",
        "run.log",
        "layers/part-000000000.parquet",
        "checkpoint/000000001-0123456789abcdef.bad",
        ".status.json.0123.tmp",
    ):
        (study / "a" / place).write_text("x")
    assert remove.contents(study / "a").foreign == []
    assert main(["rm", str(study / "a"), "--yes"]) == 0
    assert not (study / "a").exists()
