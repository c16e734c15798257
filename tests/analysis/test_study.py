"""The rows of a study: what they say, and that a row is taken from study.parquet only where its run is what it was."""

import json
import math
import os
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gradlab
from gradlab.analysis import study
from gradlab.analysis.comparison import compare_runs
from gradlab.analysis.run_results import RunResults
from gradlab.analysis.study import StudyTable, study_frame, study_rows
from gradlab.analysis.verdicts import diagnose
from gradlab.recipe.errors import RecipeError, StorageError
from gradlab.store import lock, study_file
from gradlab.store.read import collect, open_run
from tests import runs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def made(tmp_path):
    """A study of three runs that differ in depth and clip."""
    runs.simple(tmp_path / "big" / "a", depth=10)
    runs.simple(tmp_path / "big" / "b", depth=20, clip={"name": "norm", "threshold": 1.0})
    runs.simple(tmp_path / "big" / "c", depth=30, seeds=2)
    return tmp_path / "big"


@pytest.fixture
def computed(monkeypatch):
    """The names of the runs whose rows were computed."""
    names = []
    compute = study._computed
    monkeypatch.setattr(study, "_computed", lambda folder: names.append(folder.name) or compute(folder))
    return names


def rows_of(folder):
    return {row["run"]: row for row in study_rows(folder)}


def test_a_row_says_what_diagnose_says(made):
    row, found = rows_of(made)["c"], diagnose(open_run(made / "c"))
    assert (row["run"], row["study"], row["folder"]) == ("c", "big", str(made / "c"))
    assert (row["state"], row["message"], row["steps_done"], row["seeds"]) == ("finished", "", 100, 2)
    for at, signal in (("start", found.signal_start), ("end", found.signal_end)):
        assert row[f"signal_{at}"] == signal.verdict
        assert (row[f"gain_{at}"], row[f"decades_{at}"]) == (signal.gain, signal.decades)
    assert (row["training"], row["test_score"]) == (found.training.verdict, found.training.test_score)
    assert row["train_loss"] == pytest.approx(0.09)


def test_the_values_are_python_s_own(made, monkeypatch):
    monkeypatch.setattr(
        study, "run_results", lambda run: RunResults(gain_start=np.float64(0.5), seeds=np.int64(2))
    )
    row = study_rows(made)[0]
    assert {type(value) for value in row.values()} <= {str, int, float, bool, type(None)}
    assert pq.read_schema(made / "study.parquet").field("gain_start").type == pa.float64()


def test_the_choices_are_columns_null_where_a_run_has_none(made):
    frame = study_frame(made)
    assert frame.depth.tolist() == [10, 20, 30]
    assert frame["clip"].tolist() == ["none", "norm", "none"]
    assert frame["clip.threshold"].isna().tolist() == [True, False, True]
    assert frame["clip.threshold"].iloc[1] == 1.0


def test_what_is_kept_is_what_was_computed_to_the_last_bit(made, computed):
    fresh = study_rows(made)
    assert computed == ["a", "b", "c"]
    kept = study_rows(made)
    assert computed == ["a", "b", "c"]
    for one, other in zip(fresh, kept, strict=True):
        assert {k: repr(v) for k, v in one.items() if v is not None} == {
            k: repr(v) for k, v in other.items() if v is not None
        }


def test_pandas_polars_and_duckdb_read_the_same_rows(made):
    frame = study_frame(made)
    path = str(made / "study.parquet")
    duck = duckdb.sql(f"SELECT run, depth, clip, gain_start FROM '{path}' ORDER BY run").fetchall()
    pole = polars.read_parquet(path).sort("run").select("run", "depth", "clip", "gain_start").rows()
    pandas = pd.read_parquet(path).sort_values("run")[["run", "depth", "clip", "gain_start"]]
    expected = list(zip(*(frame[key] for key in ("run", "depth", "clip", "gain_start")), strict=True))
    assert duck == pole == expected == list(pandas.itertuples(index=False, name=None))


# ---- when a row is computed anew


def test_a_run_whose_status_differs_is_computed_anew(made, computed):
    study_rows(made)
    computed.clear()
    (made / "b" / "status.json").write_text(json.dumps(runs.status("diverged", message="at step 7")))
    row = rows_of(made)["b"]
    assert (computed, row["state"], row["message"]) == (["b"], "diverged", "at step 7")


def test_a_run_whose_table_was_changed_or_lost_is_computed_anew(made, computed):
    study_rows(made)
    computed.clear()
    os.utime(made / "a" / "steps" / "all.parquet", ns=(1, 1))
    (made / "b" / "layers" / "all.parquet").unlink()
    found = rows_of(made)
    assert (computed, found["a"]["state"], found["b"]["state"]) == (["a", "b"], "finished", "unreadable")
    assert "layers" in found["b"]["message"]


def test_a_run_that_is_gone_has_no_row(made):
    study_rows(made)
    shutil.rmtree(made / "a")
    assert sorted(rows_of(made)) == ["b", "c"]
    study_rows(made / "b")
    assert pq.read_table(made / "study.parquet")["run"].to_pylist() == ["b", "c"]


def test_a_run_that_took_the_name_of_another_has_its_own_row(made):
    study_rows(made)
    shutil.rmtree(made / "a")
    (made / "c").rename(made / "a")
    assert rows_of(made)["a"]["depth"] == 30


def test_a_study_that_was_moved_keeps_its_rows_under_its_new_name(made, computed):
    study_rows(made)
    computed.clear()
    moved = made.rename(made.parent / "small")
    (row,) = (row for row in study_rows(moved) if row["run"] == "a")
    assert (computed, row["study"], row["folder"]) == ([], "small", str(moved / "a"))
    assert set(pq.read_table(moved / "study.parquet")["study"].to_pylist()) == {"small"}


def test_rows_by_other_rules_are_computed_anew(made, computed, monkeypatch):
    study_rows(made)
    computed.clear()
    monkeypatch.setattr(study, "rules", lambda: "other")
    study_rows(made)
    assert computed == ["a", "b", "c"]


def test_the_rules_are_all_the_code_that_a_row_comes_from():
    """Every module of gradlab that the rows need stands in a room whose code is digested."""
    from tests.test_floors import own_imports

    seen, waiting = set(), ["gradlab.analysis.study"]
    while waiting:
        name = waiting.pop()
        if name not in seen and name != "gradlab":
            seen.add(name)
            waiting += own_imports(name)
    assert "gradlab.theory.mlp" in seen
    assert {name.split(".")[1] for name in seen} <= set(study._ROOMS)


def test_a_changed_line_of_code_changes_the_rules(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "gradlab" / "analysis", tmp_path / "gradlab" / "analysis")
    monkeypatch.setattr(study, "__file__", str(tmp_path / "gradlab" / "analysis" / "study.py"))
    before = study.rules.__wrapped__()
    with (tmp_path / "gradlab" / "analysis" / "gain.py").open("a") as file:
        file.write("EDGE = 4\n")
    assert study.rules.__wrapped__() != before


# ---- a file that is not what was written


def edited(path):
    pq.write_table(pq.read_table(path).drop_columns("depth"), path)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def with_other_types(path):
    pd.DataFrame({"run": [1], "stamp": [2.0]}).to_parquet(path)


SPOILED = {
    "empty": lambda path: path.write_bytes(b""),
    "no Parquet": lambda path: path.write_text("run\na\n"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "flipped": flipped,
    "edited": edited,
    "of other types": with_other_types,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_file_that_is_not_what_was_written_is_not_believed_but_made_again(made, computed, name):
    expected = study_rows(made)
    SPOILED[name](made / "study.parquet")
    computed.clear()
    assert repr(study_rows(made)) == repr(expected)
    assert computed == ["a", "b", "c"]
    study_rows(made)
    assert len(computed) == (6 if name == "a folder" else 3)  # a folder is not deleted


def test_every_flipped_bit_is_noticed(made):
    study_rows(made)
    path = made / "study.parquet"
    content = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, 8 * len(content), 80).tolist():
        byte = bytes([content[place // 8] ^ (1 << place % 8)])
        path.write_bytes(content[: place // 8] + byte + content[place // 8 + 1 :])
        assert study_file.read(made, study.rules()) == []


def test_a_link_is_neither_read_nor_written_through(made, tmp_path, computed):
    study_rows(made)
    elsewhere = (made / "study.parquet").rename(tmp_path / "elsewhere")
    before = elsewhere.read_bytes()
    (made / "study.parquet").symlink_to(elsewhere)
    computed.clear()
    study_rows(made)
    assert computed == ["a", "b", "c"]
    assert elsewhere.read_bytes() == before
    assert not (made / "study.parquet").is_symlink()


def test_a_run_behind_a_link_has_no_row_of_before(made, tmp_path):
    study_rows(made)
    (made / "a" / "layers").rename(tmp_path / "layers")
    (made / "a" / "layers").symlink_to(tmp_path / "layers")
    row = rows_of(made)["a"]
    assert row["state"] == "unreadable"
    assert "is a link" in row["message"]


# ---- what cannot be kept


def test_without_a_place_for_the_file_the_rows_are_the_same(made, monkeypatch):
    expected = study_rows(made)
    (made / "study.parquet").unlink()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(study_file.files, "write", refuse)
    assert repr(study_rows(made)) == repr(expected)
    table = StudyTable(made)
    table.row(made / "a")
    with pytest.raises(StorageError, match=r"study\.parquet cannot be written \(No space left on device"):
        table.save()


def test_nothing_is_written_where_nothing_changed(made):
    study_rows(made)
    before = (made / "study.parquet").stat()
    study_rows(made)
    study_rows(made / "a")
    after = (made / "study.parquet").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_run_without_a_result_has_a_row_of_nulls(made, state):
    (made / "a" / "status.json").write_text(json.dumps(runs.status(state, message="why")))
    row = rows_of(made)["a"]
    assert (row["state"], row["message"]) == ("killed" if state == "running" else "failed", "why")
    assert (row["training"], row["gain_start"], row["test_score"], row["depth"]) == (None, None, None, 10)


def test_whether_a_run_is_running_is_asked_each_time(made):
    (made / "a" / "status.json").write_text(json.dumps(runs.status("running")))
    assert rows_of(made)["a"]["state"] == "killed"
    with lock.hold(made / "a"):
        assert rows_of(made)["a"]["state"] == "running"
    assert rows_of(made)["a"]["state"] == "killed"


def test_a_run_that_cannot_be_read_is_asked_each_time(made, computed):
    status = (made / "a" / "status.json").read_text()
    (made / "a" / "status.json").write_text("{")
    row = rows_of(made)["a"]
    assert (row["state"], "depth" in row, row["training"]) == ("unreadable", False, None)
    assert "status.json is corrupt" in row["message"]
    rows_of(made)
    assert computed.count("a") == 2
    (made / "a" / "status.json").write_text(status)
    assert rows_of(made)["a"]["state"] == "finished"


def test_of_two_that_write_at_once_one_stays_and_no_row_is_false(made, computed):
    expected = study_rows(made)
    (made / "study.parquet").unlink()
    first, second = StudyTable(made), StudyTable(made)
    first.row(made / "a")
    second.row(made / "b")
    first.save()
    second.save()
    assert pq.read_table(made / "study.parquet")["run"].to_pylist() == ["b"]
    computed.clear()
    assert study_rows(made)[0]["decades_end"] == expected[0]["decades_end"]
    assert computed == ["a", "c"]


def test_a_recipe_of_very_many_keys_is_named_and_makes_no_columns(made):
    runs.simple(made / "x", data=runs.RECIPE["data"] | {f"k{index}": index for index in range(1000)})
    row = rows_of(made)["x"]
    assert row["state"] == "unreadable"
    assert "choices and versions, and a study's table takes 1,000" in row["message"]
    assert len(study_frame(made).columns) < 200


# ---- numbers


def test_null_nan_and_infinity_stay_apart(tmp_path):
    logged, nan = [0, 1], math.nan
    for name, last in (("a", nan), ("b", math.inf), ("c", 1.0)):
        layers = [runs.layer_table(runs.walk(20, 2), logged)]
        runs.opened(tmp_path / "s" / name, layers, [runs.step_table([2.3, last], logged)])
    for _ in range(2):  # computed, then kept
        loss = study_frame(tmp_path / "s").train_loss
        assert math.isnan(loss.iloc[0])
        assert loss.isna().tolist() == [False, False, False]
        assert loss.iloc[1:].tolist() == [math.inf, 1.0]
        assert study_frame(tmp_path / "s").test_score.isna().all()


@pytest.mark.parametrize("column", ["null", "absent"])
def test_a_run_without_the_backward_probe_has_its_training(tmp_path, column):
    layers = runs.layer_table(runs.walk(20, 2), [0, 1])
    place = layers.column_names.index("log10_backward")
    nulls = pa.nulls(layers.num_rows, pa.float32())
    without = layers.remove_column(place)
    if column == "null":
        without = layers.set_column(place, "log10_backward", nulls)
    runs.opened(tmp_path / "s" / "a", [without], [runs.step_table([2.3, 0.1], [0, 1])])
    (row,) = study_rows(tmp_path / "s")
    assert (row["state"], row["signal_start"], row["training"]) == ("finished", None, "learned")


@pytest.mark.parametrize(
    "values", [["auto", 1.5, None, True, 2**70], [2**70, 1], [1, 0.5], [True, 1], ["True", None]]
)
def test_a_column_of_numbers_and_words_keeps_both(tmp_path, values):
    rows = [{"run": str(index), "value": value} for index, value in enumerate(values)]
    study_file.write(tmp_path, rows, {"run": str}, "rules")
    found = [row["value"] for row in study_file.read(tmp_path, "rules")]
    assert found == values
    if values != [1, 0.5]:  # Arrow's column of them is one of floats
        assert list(map(type, found)) == list(map(type, values))


def test_what_stands_for_the_digest_may_stand_in_a_row(tmp_path):
    rows = [{"run": "a", "value": "gradlab_digest:" + "0" * 16}]
    study_file.write(tmp_path, rows, {"run": str}, "rules")
    assert study_file.read(tmp_path, "rules") == rows


# ---- who uses them


def test_compare_takes_its_results_from_the_rows(made, monkeypatch):
    expected = compare_runs(collect(made)).to_json()
    monkeypatch.setattr(study, "run_results", None)  # whoever calls it fails
    assert compare_runs(collect(made)).to_json() == expected
    assert compare_runs(collect(made), target=1.0).target.tolist() == [1.0] * 3


def test_gradlab_study_is_the_frame(made):
    assert (
        gradlab.study(made).run.tolist() == gradlab.study([made / "a", made]).run.tolist() == ["a", "b", "c"]
    )
    with pytest.raises(RecipeError, match="does not exist"):
        gradlab.study(made / "d")
