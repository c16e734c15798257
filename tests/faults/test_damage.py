"""Damaged files: a flipped bit is never read as another number, what is damaged is named, and a run makes it again."""

import shutil

import numpy as np
import pytest

from gradlab.commands.main import main
from gradlab.recipe.errors import RecipeError
from gradlab.store import read, write
from gradlab.store.read import open_run
from gradlab.store.status import read_status, write_status
from tests.launch import stored
from tests.launch.test_resume import LONG, cut
from tests.recipes import launch, tiny

TABLES = ("layers", "parameters", "steps")
FILES = ["status.json", "recipe.yaml", *(f"{table}/all.parquet" for table in TABLES)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run."""
    return launch(tiny(tmp_path_factory.mktemp("whole"), *LONG)).folder


@pytest.fixture
def damaged(whole, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(whole, tmp_path / whole.name)


def everything(folder):
    """All that a reader sees of a run, as bytes."""
    run = open_run(folder)
    tables = [getattr(run, table).to_csv().encode() for table in TABLES]
    return [
        repr(run.recipe).encode(),
        repr({k: v for k, v in run.status.items() if k != "files"}).encode(),
        *tables,
    ]


def flips(content, count):
    for place in np.random.default_rng(0).integers(0, 8 * len(content), count):
        byte = content[place // 8] ^ (1 << (place % 8))
        yield content[: place // 8] + bytes([byte]) + content[place // 8 + 1 :]


def cuts(content):
    return [content[:end] for end in range(0, len(content), 1024)]


def outcomes(folder, name, contents):
    """How often a damage was named, and how often other numbers were read."""
    before, named, false = everything(folder), 0, 0
    path = folder / name
    whole = path.read_bytes()
    for content in contents:
        path.write_bytes(content)
        message = complaint(folder)
        named += str(folder) in message and "\n" not in message
        false += not message and everything(folder) != before
    path.write_bytes(whole)
    return named, false


def complaint(folder):
    """What a reader of the run is told, "" where all of it is read."""
    try:
        everything(folder)
    except RecipeError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_named_and_never_read(damaged, name):
    assert outcomes(damaged, name, flips((damaged / name).read_bytes(), 20)) == (20, 0)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_is_named(damaged, name):
    contents = cuts((damaged / name).read_bytes())
    assert outcomes(damaged, name, contents) == (len(contents), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_thousand_flipped_bits(damaged, name):
    named, false = outcomes(damaged, name, flips((damaged / name).read_bytes(), 200))
    assert false == 0
    assert named >= 198  # JSON has two cases for the digits of an escape


def test_control_without_digests_a_flipped_bit_is_read(damaged, monkeypatch):
    """Of Parquet's pages alone some flips are not seen, and of JSON's numbers most."""
    monkeypatch.setattr(read, "is_whole", lambda status: True)
    monkeypatch.setattr(read, "is_intact", lambda *_: True)
    contents = [
        (damaged / "status.json").read_bytes().replace(b'"steps_done": 60', b'"steps_done": 61'),
        (damaged / "recipe.yaml").read_bytes().replace(b"lr: 0.1", b"lr: 0.3"),
    ]
    for name, content in zip(("status.json", "recipe.yaml"), contents, strict=True):
        assert outcomes(damaged, name, [content]) == (0, 1)


READ = {
    "diagnose": ("layers", "steps"),
    "plot": ("layers", "steps"),
    "ls": ("layers",),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", READ)
def test_every_command_that_reads_it_names_it_in_one_line(damaged, capsys, command, name):
    content = (damaged / name).read_bytes()
    (damaged / name).write_bytes(next(iter(flips(content, 1))))
    code = main([command, str(damaged)])
    printed = capsys.readouterr()
    table = name.removesuffix("/all.parquet")
    if table in TABLES and table not in READ[command]:
        assert code == 0
    else:
        assert code == (0 if command == "ls" else 2)  # it lists every run, also those that cannot be read
        lines = (printed.out if command == "ls" else printed.err).splitlines()
        assert len([line for line in lines if str(damaged) in line]) == 1


@pytest.mark.usefixtures("eager")
def test_a_part_that_is_missing_is_made_again(tmp_path, whole):
    folder = cut(tiny(tmp_path, *LONG), 32)
    write_status(folder, read_status(folder) | {"state": "interrupted"})
    lost = folder / write.part_files(folder, "layers")[3]
    lost.unlink()
    with pytest.raises(RecipeError, match=r"part-000000012\.parquet is missing"):
        _ = open_run(folder).layers
    outcome = launch(tiny(tmp_path, *LONG))
    assert "layers/part-000000012.parquet is missing or damaged, went on from step 0" in outcome.message
    assert stored.result(folder)["layers/all.parquet"] == stored.result(whole)["layers/all.parquet"]


@pytest.mark.usefixtures("eager")
def test_a_part_that_is_damaged_is_made_again_and_does_not_stop_the_end(tmp_path, whole):
    folder = cut(tiny(tmp_path, *LONG), 32)
    part = folder / write.part_files(folder, "steps")[-1]
    part.write_bytes(next(iter(flips(part.read_bytes(), 1))))
    outcome = launch(tiny(tmp_path, *LONG))
    assert f"steps/{part.name} is missing or damaged, went on from step" in outcome.message
    assert outcome.state == "finished"
    assert stored.result(folder)["steps/all.parquet"] == stored.result(whole)["steps/all.parquet"]


@pytest.mark.usefixtures("eager")
def test_a_status_that_was_zeroed_costs_no_row(tmp_path, whole):
    folder = cut(tiny(tmp_path, *LONG), 32)
    parts = write.part_files(folder, "layers")
    status = folder / "status.json"
    status.write_bytes(bytes(len(status.read_bytes())))
    told = []
    outcome = launch(tiny(tmp_path, *LONG), told.append)
    assert "status.json was damaged or missing, went on with what is there" in outcome.message
    assert told[0].step >= 32
    assert len(parts) == 8
    assert stored.result(folder)["layers/all.parquet"] == stored.result(whole)["layers/all.parquet"]


@pytest.mark.usefixtures("eager")
def test_an_interrupted_run_of_another_version_loses_nothing(tmp_path):
    folder = cut(tiny(tmp_path, *LONG), 32)
    write_status(folder, read_status(folder) | {"schema": 3, "versions": {"gradlab": "0.3.0"}})
    before = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    with pytest.raises(RecipeError, match=r"was interrupted under gradlab 0\.3\.0 and cannot be continued"):
        launch(tiny(tmp_path, *LONG))
    assert {path: path.read_bytes() for path in folder.rglob("*.parquet")} == before
    assert launch(tiny(tmp_path, *LONG, "force=true")).state == "finished"
