"""Links in a folder of outputs: nothing is written, deleted or read through them; what is outside stays as it was."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from gradlab.commands.main import main
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name
from gradlab.store import files
from gradlab.store.read import collect, open_run
from tests.launch.test_resume import LONG, cut
from tests.recipes import launch, tiny

PLACES = [
    *("", "..", "layers", "steps", "parameters", "checkpoint", "figures", ".lock", "digests.txt", "run.log"),
    *(
        "recipe.yaml",
        "status.json",
        "layers/part-000000000.parquet",
        "layers/all.parquet",
        "checkpoint/*.npz",
    ),
]
STATES = ("nothing", "interrupted", "finished", "forced")


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All files below a folder with their times, and its folders."""
    paths = sorted(folder.rglob("*"))
    return {
        str(path): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns) for path in paths
    }


def linked(run: Path, place: str, outside: Path, link=os.symlink) -> Path:
    """What stands at a place of a run's folder, moved outside, and a link to it left behind."""
    path = (
        next(iter(sorted(run.glob(place))), run / place)
        if "*" in place
        else Path(os.path.normpath(run / place))
    )
    target = outside / (path.name or "it")
    if path.exists():
        shutil.move(path, target)
    elif path.suffix or place == ".lock":
        target.write_bytes(b"of somebody else")
    else:
        target.mkdir()
        (target / "part-000000000.parquet").write_bytes(b"of somebody else")
        (target / "profile.png").write_bytes(b"of somebody else")
    path.parent.mkdir(parents=True, exist_ok=True)
    link(target, path)
    return path


def prepared(tmp_path: Path, state: str) -> tuple[Path, list[str]]:
    """A run's folder in one of the states, and what is asked for next."""
    outputs = tmp_path / "outputs"
    if state == "nothing":
        return outputs / "default" / folder_name(tiny(outputs, *LONG)), []
    if state == "interrupted":
        return cut(tiny(outputs, *LONG), 32), []
    return launch(tiny(outputs, *LONG)).folder, ["force=true"] * (state == "forced")


def attacked(tmp_path: Path, place: str, state: str, link=os.symlink) -> tuple[bool, str]:
    """Whether anything outside has changed after the run and its pictures, and what was said."""
    run, words = prepared(tmp_path, state)
    outside = tmp_path / "outside"
    outside.mkdir()
    linked(run, place, outside, link)
    before = everything(outside)
    said = ""
    try:
        said = launch(tiny(tmp_path / "outputs", *LONG, *words)).message
    except RecipeError as error:
        said = str(error)
    with suppress(RecipeError):
        main(["plot", str(tmp_path / "outputs"), "--kind", "profile"])
    return everything(outside) != before, said


@pytest.mark.few(18)
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("state", STATES)
def test_nothing_outside_is_changed_through_a_link(tmp_path, place, state):
    changed, said = attacked(tmp_path, place, state)
    assert not changed
    assert "\n" not in said
    named = Path(place).name.replace("..", "default").partition("*")[0]
    if "/" not in place:  # in the place of a single part or checkpoint a link is a damaged file
        assert f"{named} is a link, and none is followed there; remove it" in said


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("place", [".lock", "digests.txt", "status.json", "layers/part-000000000.parquet"])
def test_nothing_outside_is_changed_through_a_second_name(tmp_path, place):
    changed, said = attacked(tmp_path, place, "interrupted", os.link)
    assert not changed
    if place == ".lock":  # the others are replaced as a whole
        assert f"{place} is another name of a file elsewhere; remove it" in said


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("place", ["layers", "checkpoint", ".lock"])
def test_control_where_links_are_followed_files_outside_change(tmp_path, monkeypatch, place):
    monkeypatch.setattr(files, "_NO_LINK", os.O_CLOEXEC)
    monkeypatch.setattr(files, "require_no_link", lambda *_: None)
    assert attacked(tmp_path, place, "forced") == (True, "")


def test_the_output_root_and_what_a_reader_names_may_be_links(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    run = launch(tiny(tmp_path / "outputs")).folder
    (tmp_path / "best").symlink_to(run)
    assert len(open_run(tmp_path / "best").layers) == len(open_run(run).layers) > 0
    assert main(["plot", str(tmp_path / "best"), "--kind", "profile", "--out", str(tmp_path / "disk")]) == 0


def test_a_temporary_name_cannot_be_foreseen_or_shared(tmp_path, monkeypatch):
    taken = tmp_path / ".a.0.tmp"
    taken.symlink_to(tmp_path / "victim")
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "0")
    with pytest.raises((FileExistsError, RecipeError)):
        files.write(tmp_path, "a", b"mine")
    assert not (tmp_path / "victim").exists()
    monkeypatch.undo()
    names = set()
    monkeypatch.setattr(files.os, "replace", lambda name, *_, **__: names.add(name))
    for _ in range(20):
        files.write(tmp_path, "a", b"mine")
    assert len(names) == 20


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/hostname"])
def test_a_name_cannot_leave_its_folder(tmp_path, name):
    for use in (
        files.read,
        lambda *given: files.write(*given, b""),
        lambda base, name: files.remove(base, [name]),
    ):
        with pytest.raises(RecipeError, match="is no name of a file in"):
            use(tmp_path / "below", name)


def test_a_folder_of_ones_own_inside_a_run_is_neither_entered_nor_an_error(tmp_path):
    run = launch(tiny(tmp_path)).folder
    mine = [
        "mine/x.parquet",
        "layers/mine/part-000000000.parquet",
        "checkpoint/mine/x.npz",
        "figures/mine/x.png",
    ]
    mine += ["layers/mine.parquet", "checkpoint/mine.npz", "mine.yaml"]
    for name in mine:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(b"mine")
    assert launch(tiny(tmp_path, "force=true")).state == "finished"
    assert len(open_run(run).layers)
    assert {name: (run / name).read_bytes() for name in mine} == dict.fromkeys(mine, b"mine")


@pytest.mark.parametrize("name", ["layers/all.parquet", "recipe.yaml", "status.json"])
@pytest.mark.parametrize("made", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_named_and_not_read(tmp_path, capsys, name, made):
    run = launch(tiny(tmp_path)).folder
    (run / name).unlink()
    made(run / name)
    assert main(["diagnose", str(run)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{run / name} is " in line
    assert line.endswith("; remove it")


def test_a_run_is_found_although_a_study_holds_a_loop(tmp_path):
    run = launch(tiny(tmp_path)).folder
    (run.parent / "loop").symlink_to(tmp_path)
    assert [found.folder for found in collect(tmp_path)] == [run]
