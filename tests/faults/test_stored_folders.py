"""Folders of runs that a stranger made: every command reads them or refuses them in one line, soon and in little memory.

Each entry of status.json and recipe.yaml is replaced by values of another type, size or sign, with right digests: who
makes a file can make its digest.
"""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from gradlab.commands.main import main
from gradlab.recipe.errors import RecipeError
from gradlab.store import contents, write
from gradlab.store.read import open_run
from gradlab.store.status import _digest
from tests.recipes import launch, tiny

VALUES = [
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    1e300,
    "",
    "x" * 1000,
    "\x1b[31m",
    [],
    [1],
    {},
    {"a": 1},
    [[[[1]]]],
    "1e400",
]
SOON = 5.0  # seconds


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, clipped and with several seeds, so that many entries are used."""
    return launch(tiny(tmp_path_factory.mktemp("whole"), "seeds=2", "clip=norm", "schedule=cosine")).folder


@pytest.fixture
def hostile(whole, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(whole, tmp_path / "study" / "run")


def sign(folder: Path, status: dict) -> None:
    """Write status.json with its digest and that of the recipe as it stands."""
    status = {
        **status,
        "files": {
            **status.get("files", {}),
            "recipe.yaml": write.digest((folder / "recipe.yaml").read_bytes()),
        },
    }
    status.pop("digest", None)
    (folder / "status.json").write_text(json.dumps({**status, "digest": _digest(status)}))


def keys(values, prefix=()):
    """The path of every entry of a mapping, and of the first of every list."""
    entries = (
        values.items()
        if isinstance(values, dict)
        else list(enumerate(values))[:1]
        if isinstance(values, list)
        else ()
    )
    for key, value in entries:
        yield (*prefix, key)
        yield from keys(value, (*prefix, key))


def replaced(values, path, value):
    """The mapping with another value at a path."""
    copy = json.loads(json.dumps(values))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


def said(capsys, command: str, *words: str) -> list[str]:
    """The lines of an error of a command on it, none if it was read; a traceback or a late answer fails the test."""
    start = time.monotonic()
    code = main([command, *words])
    printed = capsys.readouterr()
    assert time.monotonic() - start < SOON
    assert code in (0, 2)
    assert "\x1b" not in printed.out + printed.err
    return printed.err.splitlines()


def attacks(whole: Path):
    """(file, path, value) of every change."""
    status, recipe = (
        json.loads((whole / "status.json").read_text()),
        yaml.safe_load((whole / "recipe.yaml").read_text()),
    )
    for name, values in (("status.json", status), ("recipe.yaml", recipe)):
        for path in keys(values):
            for value in VALUES:
                yield name, path, value


def attack(folder: Path, name: str, path, value) -> None:
    status, recipe = (
        json.loads((folder / "status.json").read_text()),
        yaml.safe_load((folder / "recipe.yaml").read_text()),
    )
    if name == "recipe.yaml":
        (folder / name).write_text(yaml.safe_dump(replaced(recipe, path, value)))
    else:
        status = replaced(status, path, value)
    sign(folder, status)
