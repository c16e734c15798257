import json
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from gradlab.recipe.errors import RecipeError
from gradlab.store import read
from gradlab.store.gather import load
from gradlab.store.read import collect, folders, open_run
from tests import runs


def test_a_run_opens_with_its_recipe_and_tables(tmp_path):
    run = open_run(runs.simple(tmp_path / "a", depth=5))
    assert run.recipe["depth"] == 5
    assert len(run.layers) == 11 * 7
    assert run.steps.loss.iloc[0] == pytest.approx(2.35, rel=1e-6)


def test_six_kinds_of_number_stay_six(tmp_path):
    kinds = [None, float("nan"), float("inf"), float("-inf"), 0.0, 1e-30]
    steps = runs.step_table(kinds, list(range(6)))
    run = runs.opened(tmp_path / "a", [runs.layer_table(runs.walk(2, 1), [0])], [steps])
    back = run.steps.loss
    assert back.isna().tolist() == [True] + [False] * 5
    assert np.isnan(back.to_numpy(dtype=float, na_value=0.0)).tolist() == [False, True] + [False] * 4
    assert back.to_numpy(dtype=float, na_value=9.0)[2:].tolist() == [np.inf, -np.inf, 0.0, np.float32(1e-30)]


def test_rows_are_sorted_whatever_their_order_in_the_file(tmp_path):
    pieces = [
        runs.layer_table(runs.walk(3, 2), [step, step + 1], seed=seed) for step in (4, 0) for seed in (1, 0)
    ]
    run = runs.opened(tmp_path / "a", pieces, [runs.step_table([1.0], [0])])
    keys = list(zip(run.layers.seed, run.layers.step, run.layers.layer, strict=True))
    assert keys == sorted(keys)


@pytest.mark.parametrize("name", ["recipe.yaml", "status.json"])
def test_an_incomplete_folder_is_reported(tmp_path, name):
    folder = runs.simple(tmp_path / "a")
    (folder / name).unlink()
    with pytest.raises(RecipeError, match=f"incomplete: it has no {name}"):
        open_run(folder)


def test_missing_rows_are_reported(tmp_path):
    folder = runs.write(tmp_path / "a", runs.recipe(), runs.status(), [], [])
    with pytest.raises(RecipeError, match="incomplete: it has no rows in layers"):
        _ = open_run(folder).layers


def test_an_empty_folder_is_reported(tmp_path):
    with pytest.raises(RecipeError, match="is empty"):
        open_run(tmp_path)


def test_a_foreign_folder_is_reported(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RecipeError, match="not the folder of a run"):
        collect(tmp_path)


def test_a_folder_that_does_not_exist_and_a_file_are_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="does not exist"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match="not a folder"):
        open_run(tmp_path / "file")


def test_a_study_is_not_a_run_and_one_is_named(tmp_path):
    runs.simple(tmp_path / "study" / "a")
    with pytest.raises(RecipeError, match="has 1 below it; give one"):
        open_run(tmp_path / "study")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("status.json", "{"),
        ("status.json", "[1]"),
        ("status.json", '{"schema": 1, "state": "dancing"}'),
        ("recipe.yaml", "a: [1"),
        ("recipe.yaml", "a: 1"),
        ("recipe.yaml", "model: mlp\n"),
    ],
)
def test_corrupt_text_files_are_one_clear_line(tmp_path, name, text):
    folder = runs.simple(tmp_path / "a")
    (folder / name).write_text(text)
    with pytest.raises(RecipeError, match=r"corrupt|not a recipe") as error:
        open_run(folder)
    assert "\n" not in str(error.value)


def test_another_schema_is_reported(tmp_path):
    folder = runs.simple(tmp_path / "a")
    (folder / "status.json").write_text(json.dumps(runs.status(schema=99)))
    with pytest.raises(RecipeError, match="written with schema 99"):
        open_run(folder)


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing", None])
def test_a_corrupt_table_is_one_clear_line(tmp_path, damage):
    folder = runs.simple(tmp_path / "a")
    file = folder / "layers" / "all.parquet"
    if damage is None:
        pq.write_table(pa.table({"a": [1]}), file)
    else:
        file.write_bytes(damage)
    with pytest.raises(RecipeError, match="corrupt") as error:
        _ = open_run(folder).layers
    assert "\n" not in str(error.value)


def test_a_running_run_opens_only_when_asked(tmp_path):
    folder = runs.simple(tmp_path / "a")
    (folder / "status.json").write_text(json.dumps(runs.status("running", steps_done=40)))
    with pytest.raises(RecipeError, match="was killed while running \\(40 of 100 steps\\)"):
        open_run(folder)
    assert len(open_run(folder, running=True).layers)


def test_a_whole_table_replaces_its_parts_and_hidden_files_are_not_read(tmp_path):
    folder = runs.simple(tmp_path / "a")
    whole = pq.read_table(folder / "layers" / "all.parquet")
    pq.write_table(whole.slice(0, 5), folder / "layers" / "part-0.parquet")
    (folder / "layers" / ".part-9.parquet.tmp").write_bytes(b"half")
    assert len(open_run(folder).layers) == len(whole)


def test_reading_beside_a_compaction_sees_each_row_once(tmp_path):
    def compact(place, whole):
        pq.write_table(whole, place / ".all.tmp")
        (place / ".all.tmp").rename(place / "all.parquet")
        for i in range(len(whole)):
            (place / f"part-{i}.parquet").unlink()

    for trial in range(15):
        folder = runs.simple(tmp_path / str(trial), depth=3)
        whole = pq.read_table(folder / "steps" / "all.parquet")
        for i in range(len(whole)):
            pq.write_table(whole.slice(i, 1), folder / "steps" / f"part-{i}.parquet")
        (folder / "steps" / "all.parquet").unlink()
        writer = threading.Thread(target=compact, args=(folder / "steps", whole))
        writer.start()
        while writer.is_alive():
            assert open_run(folder).steps.step.tolist() == list(range(0, 101, 10))
        writer.join()


def test_load_distinguishes_runs_by_the_choices_that_differ(tmp_path):
    runs.simple(tmp_path / "a", depth=5, clip={"name": "none"})
    runs.simple(tmp_path / "b", depth=9, clip={"name": "norm", "threshold": 0.5}, force=True, device="cpu")
    frame = load(tmp_path)
    assert list(frame.columns[:4]) == ["run", "clip", "depth", "clip.threshold"]
    assert frame.groupby("clip", observed=True).depth.first().to_dict() == {"none": 5, "norm": 9}
    assert frame[frame.run == "a"]["clip.threshold"].isna().all()
    assert (frame[frame.run == "b"]["clip.threshold"] == 0.5).all()


def test_load_of_one_run_has_no_choices_but_those_asked_for(tmp_path):
    runs.simple(tmp_path / "a")
    assert list(load(tmp_path / "a", "steps").columns[:3]) == ["run", "seed", "step"]
    assert load(tmp_path / "a", "steps", by=["activation"]).activation.eq("tanh").all()


def test_a_choice_with_the_name_of_a_column_keeps_its_full_key(tmp_path):
    runs.simple(tmp_path / "a")
    runs.simple(tmp_path / "b", penalty={"name": "l2", "strength": 1e-4}, seed=7)
    frame = load([tmp_path / "a", tmp_path / "b"], "steps")
    assert frame["penalty.name"].unique().tolist() == ["none", "l2"]
    assert (frame.penalty == 0).all()
    assert frame.columns.is_unique


def test_an_unknown_choice_gets_a_hint(tmp_path):
    runs.simple(tmp_path / "a")
    with pytest.raises(RecipeError, match="did you mean 'activation'"):
        load(tmp_path, by=["activaton"])
    with pytest.raises(RecipeError, match="no table 'layer'; did you mean 'layers'"):
        load(tmp_path, "layer")


def test_runs_of_one_name_in_two_studies_stay_two(tmp_path):
    runs.simple(tmp_path / "one" / "a")
    runs.simple(tmp_path / "two" / "a")
    assert load(tmp_path).run.nunique() == 2
    assert len(collect([tmp_path, tmp_path / "one"])) == 2


def test_folders_lists_what_cannot_be_read_too(tmp_path):
    runs.simple(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "recipe.yaml").write_text(yaml.safe_dump({}))
    assert [folder.name for folder in folders(tmp_path)] == ["a", "b"]
    with pytest.raises(RecipeError, match="b is incomplete"):
        collect(tmp_path)


def test_reading_imports_neither_jax_nor_matplotlib():
    heavy = "{'jax', 'matplotlib', 'scipy'}"
    code = f"import sys, gradlab.store.read; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def study_with_a_killed_run(place):
    runs.simple(place / "a", seed=0)
    runs.write(
        place / "b",
        runs.recipe(seed=1),
        runs.status("running", steps_done=40),
        [runs.layer_table(runs.walk(20, 5), [0, 10, 20, 30, 40])],
        [runs.step_table([2.0] * 5, [0, 10, 20, 30, 40])],
    )
    return place


def test_a_study_is_loaded_without_its_unfinished_runs_and_they_are_named(tmp_path):
    place = study_with_a_killed_run(tmp_path / "study")
    with pytest.warns(UserWarning, match=r"left out: .*b was killed while running \(40 of 100 steps\)"):
        frame = load(place)
    assert frame.run.unique().tolist() == ["a"]


def test_a_killed_run_given_by_itself_has_its_rows_so_far(tmp_path):
    place = study_with_a_killed_run(tmp_path / "study")
    with pytest.warns(UserWarning, match="b is killed: these are its rows so far"):
        frame = load(place / "b", "steps")
    assert frame.step.max() == 30  # what follows may be incomplete
    with pytest.warns(UserWarning, match="these are its rows so far"):
        assert load([place / "a", place / "b"]).run.unique().tolist() == ["a", "b"]


def test_a_study_of_which_no_run_can_be_loaded_is_refused(tmp_path):
    (study_with_a_killed_run(tmp_path) / "a" / "status.json").write_text("{")
    with pytest.raises(RecipeError, match="was killed while running"):
        load(tmp_path)


def test_damage_is_named_and_the_others_are_loaded(tmp_path):
    for name in ("a", "b"):
        runs.simple(tmp_path / name)
    (tmp_path / "a" / "layers" / "all.parquet").write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="left out: .* is corrupt"):
        assert load(tmp_path).run.unique().tolist() == ["b"]


def test_defaults_that_came_later_are_no_choice_between_old_and_new_runs(tmp_path):
    runs.simple(tmp_path / "old")
    later = {"patience": 0, "loss": 0.0, "tolerance": 0.0, "on": []}
    runs.simple(tmp_path / "new", freeze=[], stop=later, depth=20)
    assert load(tmp_path).columns[0] == "run"
    assert not {"freeze", "stop.on", "stop.tolerance"} & {*load(tmp_path).columns}


def test_a_run_that_ends_while_it_is_opened_was_not_killed(tmp_path, monkeypatch):
    folder = runs.simple(tmp_path / "a")
    ended = (folder / "status.json").read_text()
    (folder / "status.json").write_text(json.dumps(runs.status("running", steps_done=40)))

    def held(_):
        """Its process has written the last status, and released the lock, since the status was read."""
        (folder / "status.json").write_text(ended)
        return False

    monkeypatch.setattr(read, "held", held)
    assert open_run(folder).status["state"] == "finished"


def test_the_tables_of_an_unfinished_run_end_at_one_step(tmp_path):
    folder = runs.simple(tmp_path / "a")  # its parts are written before its status
    (folder / "status.json").write_text(json.dumps(runs.status("running", steps_done=40)))
    run = open_run(folder, running=True)
    assert run.layers.step.max() == run.steps.step.max() == 30


@pytest.mark.parametrize(("state", "told"), [("interrupted", "was interrupted"), ("failed", "failed")])
def test_a_run_of_a_study_that_ended_early_is_named_and_left_out(tmp_path, state, told):
    runs.simple(tmp_path / "a")
    runs.simple(tmp_path / "b")
    (tmp_path / "b" / "status.json").write_text(json.dumps(runs.status(state, steps_done=40, message="why")))
    with pytest.warns(UserWarning, match=rf"left out: .*b {told} \(40 of 100 steps\)"):
        assert load(tmp_path).run.unique().tolist() == ["a"]
    assert load(tmp_path / "b").step.max() == 100
