"""The stored files: exactly the schema, every kind of value distinguished, no incomplete files."""

import json
import math
import os

import duckdb
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from gradlab import Column, Probe
from gradlab.engine.prepare import prepare
from gradlab.launch import estimate
from gradlab.measurements.columns import VERSION
from gradlab.recipe.recipe import plain
from gradlab.store import files, write
from gradlab.store.rows import Rows, tables
from gradlab.store.status import write_status
from tests.launch import stored
from tests.recipes import launch, recipe, tiny
from tests.runs import SCHEMAS, layer_table, step_table

ODD = [None, 1.5, -math.inf, math.inf, math.nan, 0.0, -0.0, 1e-45]  # each another thing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a network that fills every table."""
    data = ("data=adding", "data.length=12", "data.train=64", "data.test=16")
    probes = f"probe=[standard,{__name__}:signs]"
    return launch(tiny(tmp_path_factory.mktemp("run"), "model=lstm", probes, *data)).folder


def signs():
    """How many values of h_l are negative and how many are positive."""
    column = Column("signs", "negative and positive values of h_l", unit="count", kind="vector", size=2)
    count = lambda block: {"signs": jnp.array([(block.h < 0).sum(), (block.h > 0).sum()])}
    return Probe((column,), signal=count)


@pytest.mark.slow
@pytest.mark.parametrize("table", SCHEMAS)
def test_the_schema_on_disk_is_the_schema(folder, table):
    file = pq.ParquetFile(folder / table / "all.parquet")
    assert file.schema_arrow.equals(SCHEMAS[table])
    assert file.schema_arrow.metadata[b"gradlab_schema"] == str(VERSION).encode()
    group = file.metadata.row_group(0)
    for index in range(group.num_columns):
        column = group.column(index)
        assert column.compression == "ZSTD"
        floating = pa.types.is_floating(SCHEMAS[table].field(column.path_in_schema).type)
        assert ("BYTE_STREAM_SPLIT" in column.encodings) == floating


def floats(table):
    return [field.name for field in SCHEMAS[table] if pa.types.is_floating(field.type)]


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_float_is_described(table):
    fields = [SCHEMAS[table].field(name) for name in floats(table)]
    assert {field.type for field in fields} == {pa.float32()}
    assert all(field.metadata[b"definition"] and field.metadata[b"unit"] for field in fields)


@pytest.mark.parametrize("table", SCHEMAS)
def test_pandas_polars_and_duckdb_read_a_run_as_it_is(folder, table):
    path = folder / table
    rows = stored.table(folder, table)
    frames = [
        pd.read_parquet(path),
        pl.read_parquet(path),
        duckdb.read_parquet(f"{path}/*.parquet").fetchnumpy(),
    ]
    for frame in frames:
        for name in ("seed", "step"):
            assert list(frame[name]) == rows[name].to_pylist()
        assert [str(word) for word in frame["source"]] == rows["source"].to_pylist()
        name = next(name for name in floats(table) if name in rows.column_names)
        np.testing.assert_array_equal(np.asarray(frame[name], np.float32), rows[name].to_numpy())


def odd(folder):
    """A table of odd losses, written."""
    losses = np.array([0.0 if value is None else value for value in ODD], np.float32)[None, :, None]
    measured = np.array([value is not None for value in ODD])[None, :, None]
    rows = Rows(np.array([3]), np.arange(len(ODD)), "batch", np.ones((1, len(ODD)), bool))
    write.part(folder, "steps", 0, [tables(rows, {"steps": {"loss": (losses, measured)}}, SCHEMAS)["steps"]])
    write.compact(folder)
    return folder / "steps" / "all.parquet"


def test_null_zero_infinities_and_nan_are_distinguished_by_every_reader(tmp_path):
    path = odd(tmp_path)
    words = [str(None if value is None else np.float32(value)) for value in ODD]
    arrow = pq.read_table(path)["loss"].to_pylist()
    assert [str(None if value is None else np.float32(value)) for value in arrow] == words
    polars = pl.read_parquet(path)["loss"].to_list()
    assert [str(None if value is None else np.float32(value)) for value in polars] == words
    duck = [row[0] for row in duckdb.sql(f"select loss from '{path}'").fetchall()]
    assert [str(None if value is None else np.float32(value)) for value in duck] == words
    pandas = pd.read_parquet(path, dtype_backend="pyarrow")["loss"]
    assert list(pandas.isna()) == [value is None for value in ODD]


def test_floats_survive_bit_for_bit(tmp_path):
    values = pq.read_table(odd(tmp_path))["loss"].combine_chunks()
    kept = values.drop_null().to_numpy()
    given = np.array([value for value in ODD if value is not None], np.float32)
    assert kept.tobytes() == given.tobytes()


def test_rows_that_are_not_kept_are_left_out_and_the_final_row_has_no_update(tmp_path):
    kept = np.array([[True, True], [True, False]])
    rows = Rows(np.array([4, 5]), np.array([6, 7]), "probe", kept)
    found = {
        "layer": np.arange(2),
        "name": np.array(["input", "output"]),
        "log10_update": (np.zeros((2, 2, 2)), False),
    }
    made = tables(rows, {"layers": found}, SCHEMAS)["layers"]
    assert made.schema.equals(SCHEMAS["layers"])
    assert list(zip(*(made[key].to_pylist() for key in ("seed", "step", "layer")), strict=True)) == [
        (4, 6, 0),
        (4, 6, 1),
        (4, 7, 0),
        (4, 7, 1),
        (5, 6, 0),
        (5, 6, 1),
    ]
    assert set(made["name"].to_pylist()) == {"input", "output"}
    assert made["log10_update"].null_count == made["log10_forward"].null_count == 6


def test_a_column_that_the_schema_does_not_have_is_refused():
    rows = Rows(np.array([0]), np.array([0]), "batch", np.ones((1, 1), bool))
    with pytest.raises(KeyError, match="table 'steps' has no column los; its probe must declare it"):
        tables(rows, {"steps": {"loss": np.zeros((1, 1, 1)), "los": np.zeros((1, 1, 1))}}, SCHEMAS)


def test_parts_are_compacted_in_order_and_again_without_effect(tmp_path):
    for first in (0, 30, 10, 20):
        steps = list(range(first, first + 10))
        write.part(tmp_path, "steps", first, [step_table([1.0] * 10, steps)])
        write.part(tmp_path, "layers", first, [layer_table(np.zeros((10, 4)), steps, seed=s) for s in (0, 1)])
    write.compact(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.parquet")) == ["all.parquet"] * 2
    assert pq.read_table(tmp_path / "steps" / "all.parquet")["step"].to_pylist() == list(range(40))
    layers = pq.read_table(tmp_path / "layers" / "all.parquet")
    assert layers["seed"].to_pylist() == [0] * 160 + [1] * 160
    before = [path.read_bytes() for path in sorted(tmp_path.rglob("*.parquet"))]
    write.compact(tmp_path)
    assert before == [path.read_bytes() for path in sorted(tmp_path.rglob("*.parquet"))]


def test_no_rows_are_no_part(tmp_path):
    write.part(tmp_path, "steps", 0, [step_table([1.0], [0]).slice(1)])
    write.part(tmp_path, "steps", 0, [])
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_file_under_its_final_name_is_complete_or_absent(tmp_path, monkeypatch):
    def full(descriptor) -> None:
        raise OSError(28, "No space left on device")

    files.write(tmp_path, "a", b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(tmp_path, "a", b"half")
    assert (tmp_path / "a").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_status_never_holds_what_json_has_not(tmp_path):
    write_status(tmp_path, {"a": math.nan, "b": [math.inf, 1.5, {"c": np.float64("nan")}], "d": "NaN"})
    status = json.loads((tmp_path / "status.json").read_text(), parse_constant=pytest.fail)
    assert len(status.pop("digest")) == 16
    assert status == {"schema": VERSION, "a": None, "b": [None, 1.5, {"c": None}], "d": "NaN"}


def test_a_recipe_comes_back_as_it_was(tmp_path):
    given = plain(recipe("clip=norm", "optimizer=adam", "lr=1e-30", "study=a_1"))
    write.recipe(tmp_path, given)
    found = yaml.safe_load((tmp_path / "recipe.yaml").read_text())
    assert found == given
    assert list(found) == list(given)


def save(folder, step: int, value: float) -> None:
    write.checkpoint(folder, write.Checkpoint(step, {".a['x/y']": np.float32([value])}, {"next": step}))


def test_two_checkpoints_are_kept_and_the_newest_is_restored(tmp_path):
    for step in (5, 10, 15, 100):
        save(tmp_path, step, step)
    assert [path.name[:9] for path in sorted((tmp_path / "checkpoint").iterdir())] == [
        "000000015",
        "000000100",
    ]
    found, damaged = write.restore(tmp_path)
    assert (found.step, found.leaves[".a['x/y']"].tolist(), found.facts, damaged) == (
        100,
        [100.0],
        {"next": 100},
        [],
    )


def test_a_newer_checkpoint_of_the_same_step_takes_its_place(tmp_path):
    for value in (1, 2, 3):
        save(tmp_path, 5, value)
    assert len(list((tmp_path / "checkpoint").iterdir())) == 1
    assert write.restore(tmp_path)[0].leaves[".a['x/y']"] == 3


def test_a_checkpoint_is_the_same_bytes_every_time_and_opens_in_numpy(tmp_path):
    for name in "ab":
        save(tmp_path / name, 5, 1)
    one, other = (next((tmp_path / name / "checkpoint").iterdir()) for name in "ab")
    assert (one.name, one.read_bytes()) == (other.name, other.read_bytes())
    with np.load(one) as file:
        assert file[".a['x/y']"] == 1


def test_damage_anywhere_in_a_checkpoint_is_seen(tmp_path):
    save(tmp_path, 5, 1)
    (path,) = (tmp_path / "checkpoint").iterdir()
    content = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 50):
        for damaged in (
            content[:place],
            content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :],
        ):
            path.write_bytes(damaged)
            assert write.restore(tmp_path) == (None, [path.name])
            path.with_suffix(".bad").rename(path)


def test_only_what_a_run_wrote_is_cleared(tmp_path):
    written = ["status.json", "run.log", "layers/all.parquet", "steps/part-000000000.parquet"]
    written += ["checkpoint/000000005-0a.npz", "figures/profile.png"]
    kept = ["recipe.yaml", ".lock", "my notes.txt", "mine/x.parquet", "figures/mine/profile.png"]
    for name in [*written, *kept]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write.clear(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted(kept)


def bytes_per_float(folder) -> float:
    size = count = 0
    for path in folder.glob("*/all.parquet"):
        table = path.parent.name
        size += path.stat().st_size
        rows = pq.read_table(path)
        count += sum(len(rows) - rows[name].null_count for name in floats(table))
    return size / count


@pytest.mark.slow
def test_a_float_takes_few_bytes(tmp_path):
    asked = recipe("depth=50", "clip=norm", f"outputs={tmp_path}")
    folder = launch(asked).folder
    found = bytes_per_float(folder)
    print(f"{found:.3f} bytes a float")
    assert found <= 3.5
    size = sum(path.stat().st_size for path in folder.glob("*/all.parquet"))
    assert estimate(prepare(asked))["bytes"] == pytest.approx(size, rel=0.2)


def test_a_single_part_in_order_becomes_the_merged_file_and_others_are_merged(tmp_path):
    folder = tmp_path / "study" / "run"
    steps = [step_table([2.0, 1.0], [0, 1], seed) for seed in (1, 0)]
    digests = write.part(folder, "steps", 0, steps)
    before = (folder / "steps" / "part-000000000.parquet").read_bytes()
    noted = []
    write.compact(folder, digests, noted.append, digests.keys())
    assert (folder / "steps" / "all.parquet").read_bytes() == before
    assert noted == [{"steps/all.parquet": digests["steps/part-000000000.parquet"]}]
    assert pq.read_table(folder / "steps" / "all.parquet")["seed"].to_pylist() == [0, 0, 1, 1]
    other = tmp_path / "study" / "other"
    both = write.part(other, "steps", 0, steps[:1]) | write.part(other, "steps", 1, steps[1:])
    write.compact(other, both, in_order=both.keys())
    assert stored.bits(stored.table(other, "steps")) == stored.bits(stored.table(folder, "steps"))
    assert [path.name for path in (other / "steps").iterdir()] == ["all.parquet"]


def test_a_single_part_that_is_damaged_does_not_become_the_merged_file(tmp_path):
    folder = tmp_path / "study" / "run"
    digests = write.part(folder, "steps", 0, [step_table([2.0, 1.0], [0, 1])])
    path = folder / "steps" / "part-000000000.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match="is damaged"):
        write.compact(folder, digests, in_order=digests.keys())
    assert path.exists()
