"""Folders of runs that a stranger made: every command reads or refuses them in one line, soon, in little memory.

The digests are right in all of them: who makes a file can make its digest.
"""

import json
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from gradlab.commands.main import main
from gradlab.figures.registry import run_figures
from gradlab.store import contents, read, status, write
from gradlab.store.read import open_run
from gradlab.theory import mlp
from tests.recipes import launch, tiny

VALUES = [
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    10**400,
    1e300,
    "",
    "x" * 1000,
    "\x1b[31m",
    "../../secret",
    "1e400",
]
VALUES += [[], [1], {}, {"a": 1}, [[[[1]]]]]
TABLES = ("layers", "steps", "parameters")
SOON = 5.0  # seconds


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run."""
    return launch(tiny(tmp_path_factory.mktemp("whole"))).folder


@pytest.fixture
def hostile(whole, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(whole, tmp_path / "study" / "run")


def sign(folder: Path, facts: dict) -> None:
    """Write status.json with its digest and those of the files as they stand."""
    noted = facts.get("files")
    if isinstance(noted, dict):
        found = {
            name: write.digest((folder / name).read_bytes()) for name in noted if (folder / name).is_file()
        }
        facts = {**facts, "files": {**noted, **found}}
    rest = {key: value for key, value in facts.items() if key != "digest"}
    (folder / "status.json").write_text(json.dumps({**rest, "digest": status._digest(rest)}))


def stored(folder: Path, name: str) -> dict:
    return yaml.safe_load((folder / name).read_text())


def keys(values, prefix=()):
    """The path of every entry of a mapping, and of the first of every list."""
    if isinstance(values, list):
        values = dict(enumerate(values[:1]))
    if isinstance(values, dict):
        for key, value in values.items():
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


def attack(folder: Path, name: str, path, value) -> None:
    """Replace an entry of status.json or recipe.yaml."""
    facts = stored(folder, "status.json")
    if name == "recipe.yaml":
        (folder / name).write_text(yaml.safe_dump(replaced(stored(folder, name), path, value)))
    else:
        facts = replaced(facts, path, value)
    sign(folder, facts)


def refused(capsys, command: str, *words: str) -> bool:
    """Whether a command refused what it was given; a traceback, a late answer or several lines fail the test."""
    start = time.monotonic()
    code = main([command, *words])
    printed = capsys.readouterr()
    assert time.monotonic() - start < SOON
    assert "\x1b" not in printed.out + printed.err
    assert len(printed.err.splitlines()) == (code == 2)
    assert code in (0, 2)
    return code == 2


def attacked(whole: Path, hostile: Path, capsys, chosen: list[int] | None) -> int:
    """How many changed entries are refused, of all or of chosen ones."""
    changes = [
        (name, path, value)
        for name in ("status.json", "recipe.yaml")
        for path in keys(stored(whole, name))
        for value in VALUES
    ]
    count = 0
    for index in range(len(changes)) if chosen is None else chosen:
        for name in ("status.json", "recipe.yaml"):
            shutil.copy(whole / name, hostile / name)
        attack(hostile, *changes[index % len(changes)])
        count += refused(capsys, "diagnose", str(hostile))
        assert main(["ls", str(hostile)]) == 0
    return count


def test_entries_of_other_types_and_sizes_are_refused(whole, hostile, capsys):
    chosen = np.random.default_rng(0).integers(0, 10**6, 60).tolist()
    assert attacked(whole, hostile, capsys, chosen) > 30


@pytest.mark.slow
def test_every_entry_of_another_type_or_size_is_refused(whole, hostile, capsys):
    assert attacked(whole, hostile, capsys, None) > 1000


def test_control_without_the_check_of_entries_there_is_a_traceback(hostile, monkeypatch):
    attack(hostile, "status.json", ("data", "train"), "many")
    monkeypatch.setattr(contents, "_status_problem", lambda _: "")
    with pytest.raises(TypeError):
        main(["diagnose", str(hostile)])


def column(name, make):
    """What puts another column in the place of one of a table, of the same type if it can."""

    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, name, pa.array(make(len(table)), table.schema.field(name).type))

    return change


def floats(value):
    """What puts one value into all measured columns."""

    def change(table: pa.Table) -> pa.Table:
        is_float = {field.name: pa.types.is_floating(field.type) for field in table.schema}
        arrays = [
            pa.array([value] * len(table), pa.float32() if isinstance(value, float | None) else None)
            if is_float[name]
            else table[name]
            for name in table.column_names
        ]
        return pa.table(arrays, names=table.column_names)

    return change


RANDOM = np.random.default_rng(0)
KEYS, KEY_VALUES = ("seed", "step"), (-1, 0, 2**31 - 1, None)
FLOATS = (None, math.nan, math.inf, -math.inf, 1e38, -1e38, 0.0, "x")
CHANGES = {
    **{
        f"{key} {value}": column(key, lambda n, value=value: [value] * n)
        for key in KEYS
        for value in KEY_VALUES
    },
    **{f"{key} in disorder": column(key, lambda n: RANDOM.integers(0, 2**31 - 1, n)) for key in KEYS},
    **{f"all {value}": floats(value) for value in FLOATS},
    "source": column("source", lambda n: pa.array(["\x1b[31m"] * n).dictionary_encode()),
    "no source": column("source", lambda n: pa.nulls(n, pa.dictionary(pa.int32(), pa.string()))),
    "twice": lambda table: pa.concat_tables([table, table]),
    "one row": lambda table: table.slice(0, 1),
    "no row": lambda table: table.slice(0, 0),
    "half": lambda table: table.slice(0, len(table) // 2),
    "no column": lambda table: table.select([]),
    "other names": lambda table: table.rename_columns([f"x{i}" for i in range(table.num_columns)]),
    "a name twice": lambda table: table.append_column("step", table["step"]),
    "a hostile name": lambda table: table.append_column("\x1b[31m/../x", pa.array([1.0] * len(table))),
    "a column of words": lambda table: table.append_column("words", pa.array(["x" * 10**5] * len(table))),
    "a column of lists": lambda table: table.append_column("lists", pa.array([[1.0]] * len(table))),
    "many rows": lambda table: pa.concat_tables([table] * 1000),
}


@pytest.mark.few(8)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", TABLES)
def test_tables_of_other_rows_and_columns_are_read_or_refused(hostile, tmp_path, capsys, table, change):
    file = hostile / table / "all.parquet"
    pq.write_table(CHANGES[change](pq.read_table(file)), file)
    sign(hostile, stored(hostile, "status.json"))
    for words in (
        ["diagnose"],
        ["suggest-clip", "--json"],
        *(["plot", "--kind", kind] for kind in run_figures()),
    ):
        refused(capsys, *words, str(hostile))
    assert main(["fsck", str(hostile)]) in (0, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study"]


def test_control_without_the_check_of_rows_there_is_a_traceback(hostile, monkeypatch):
    file = hostile / "layers" / "all.parquet"
    pq.write_table(CHANGES["seed None"](pq.read_table(file)), file)
    sign(hostile, stored(hostile, "status.json"))
    monkeypatch.setattr(read, "_problem", lambda *_: "")
    with pytest.raises(pa.ArrowInvalid):
        main(["diagnose", str(hostile)])


ANCHORS = zip("abcdefghij", "bcdefghijk", strict=True)
ALIASES = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in ANCHORS)
BOMBS = {
    "aliases": ALIASES,
    "levels": "a: " + "[" * 10**5,
    "mappings": "a: " + "{a: " * 10**5,
    "a word": "a: " + "x" * 2**21,
    "entries": "- 1\n" * 10**6,
    "a tag": "a: !!python/object/apply:os.getcwd []",
    "digits": "depth: " + "9" * 10**5,
    "two documents": "a: 1\n---\na: 2\n",
    "zeros": "\0" * 10**5,
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("name", ["recipe.yaml", "status.json"])
def test_bombs_are_refused_soon(hostile, capsys, bomb, name):
    (hostile / name).write_text(BOMBS[bomb])
    if name == "recipe.yaml":
        sign(hostile, stored(hostile, "status.json"))
    assert refused(capsys, "diagnose", str(hostile))


@pytest.mark.parametrize("key", ["depth", "width", "steps", "seeds", "batch_size"])
def test_what_a_stored_recipe_says_is_never_allocated(hostile, capsys, key, monkeypatch):
    attack(hostile, "recipe.yaml", (key,), 2**31 - 1)
    assert refused(capsys, "diagnose", str(hostile)) == (key == "depth")
    if key == "depth":  # the control: theory would allocate it
        monkeypatch.setattr(mlp, "predict", lambda recipe, data: pytest.fail("predicted"))
        assert refused(capsys, "diagnose", str(hostile))


def test_a_table_beyond_the_machines_memory_is_refused(hostile, capsys, monkeypatch):
    rows = pq.read_metadata(hostile / "steps" / "all.parquet").num_rows
    assert not refused(capsys, "plot", "--kind", "training", str(hostile))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 8, "SC_PHYS_PAGES": rows}[name])
    assert refused(capsys, "plot", "--kind", "training", str(hostile))


@pytest.mark.parametrize("command", ["diagnose", "compare", "plot", "suggest-clip"])
@pytest.mark.parametrize("name", ["status.json", "recipe.yaml", "layers/all.parquet", "steps/all.parquet"])
def test_the_rest_of_a_study_is_shown(whole, tmp_path, capsys, command, name):
    for run in ("a", "b", "c"):
        shutil.copytree(whole, tmp_path / "study" / run)
    content = bytearray((tmp_path / "study" / "b" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "study" / "b" / name).write_bytes(content)
    assert main([command, str(tmp_path / "study")]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert str(tmp_path / "study" / "b" / name) in line
    shown = printed.out.splitlines()
    assert shown
    assert not any(str(tmp_path / "study" / "b") in text for text in shown)


def test_a_stored_name_of_an_option_opens_no_file_elsewhere(hostile, tmp_path, capsys):
    (tmp_path / "secret.yaml").write_text("slope: 0.123456\n")
    attack(hostile, "recipe.yaml", ("activation", "name"), str(tmp_path / "secret"))
    main(["diagnose", str(hostile)])
    main(["plot", str(hostile), "--kind", "profile"])
    printed = capsys.readouterr()
    assert "0.123456" not in printed.out + printed.err
    assert open_run(hostile).recipe["activation"]["name"] == str(tmp_path / "secret")
