import time

import numpy as np
import pytest

from gradlab.analysis.selection import minibatch_rows
from gradlab.recipe.errors import RecipeError
from gradlab.store import write
from gradlab.store.gather import gather
from gradlab.store.minibatches import Selection, minibatch_ends, minibatch_evaluations
from gradlab.store.read import open_run, read_each, whole
from gradlab.store.status import write_status
from tests import runs
from tests.bench.copies import copy

STEPS = [0, 10, 20, 30]


def tables(seed=0, steps=STEPS, source="batch", depth=3):
    """The rows of layers and steps of one seed."""
    backward = runs.walk(depth, len(steps), seed=seed)
    layers = runs.layer_table(backward, steps, seed=seed, source=[source] * backward.size)
    return layers, runs.step_table([2.0] * len(steps), steps, seed=seed, source=[source] * len(steps))


@pytest.fixture
def study(tmp_path):
    """Two runs: one of two seeds, of which one ends earlier and one has rows of the fixed batch; and a deeper one."""
    parts = [tables(0), tables(1, STEPS[:2]), tables(0, [0, 40], source="probe")]
    one = runs.opened(tmp_path / "a", *map(list, zip(*parts, strict=True)), seeds=2)
    return [one, runs.opened(tmp_path / "b", *map(list, zip(tables(depth=5), strict=True)), depth=5)]


def test_a_selection_is_what_the_whole_table_has(study):
    selected = gather(study, "layers", (), Selection(("log10_backward",), minibatch_ends))
    rows = minibatch_rows(gather(study, "layers"))
    last = rows.groupby(["run", "seed"], observed=True).step.transform("max")
    expected = rows[((rows.step == 0) | (rows.step == last)).to_numpy()].reset_index(drop=True)
    assert set(selected) == {"run", "depth", "seeds", "seed", "step", "source", "layer", "log10_backward"}
    for name in selected:
        assert selected[name].tolist() == expected[name].tolist(), name
    assert selected.step.max() == 30  # not 40, of the fixed batch


def test_a_column_that_a_run_has_not_is_null(study):
    selected = gather(study, "layers", (), Selection(("log10_backward", "their_own")))
    assert selected.their_own.isna().all()
    assert len(selected) == len(gather(study, "layers"))


def test_of_a_table_that_a_network_has_not_nothing_is_selected(study):
    (study[0].folder / "times").mkdir()
    assert gather(study, "times", (), Selection(("log10_backward",), minibatch_ends)).empty


def evaluated(folder, **more):
    losses = [2.0, 1.9, np.nan, 1.7, 1.6, 1.5]
    steps = runs.step_table(losses, list(range(6)), **more)
    return runs.opened(folder, [runs.layer_table(runs.walk(3, 6), list(range(6)))], [steps])


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"train_loss": [2.0, None, None, 1.7, None, None]}, [0, 2, 3, 5]),
        ({"train_loss": [2.0, None, None, None, None, None], "phase": [0, 0, 0, 0, 1, 1]}, [0, 2, 3, 4, 5]),
        ({"train_loss": [None] * 6}, [0, 1, 2, 3, 4, 5]),
    ],
    ids=["evaluations, ends and what is not finite", "a new optimizer", "no evaluations"],
)
def test_of_steps_those_are_kept_that_a_comparison_draws(tmp_path, more, kept):
    run = evaluated(tmp_path / "a", **more)
    rows = gather([run], "steps", (), Selection(("loss", "train_loss", "phase"), minibatch_evaluations))
    assert rows.step.tolist() == kept
    assert np.isnan(rows.loss[rows.step == 2].iloc[0])


def test_the_parts_of_a_run_that_is_not_compacted_are_selected_too(tmp_path):
    folder = tmp_path / "study" / "a"
    write.make_folder(folder)
    digests = dict(write.recipe(folder, runs.recipe(depth=3)))
    for table, index in (("layers", 0), ("steps", 1)):
        for first in (0, 20):
            rows = tables(0, [first, first + 10])[index]
            digests |= write.part(folder, table, first, [rows])
    write_status(folder, runs.status(files=digests))
    rows = gather([open_run(folder)], "layers", (), Selection(("log10_backward",), minibatch_ends))
    assert sorted(set(rows.step)) == [0, 30]


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_damage_anywhere_in_a_file_is_refused(tmp_path, place):
    folder = tmp_path / "study" / "a"
    write.make_folder(folder)
    layers, steps = tables()
    digests = dict(write.recipe(folder, runs.recipe(depth=3)))
    digests |= write.part(folder, "layers", 0, [layers]) | write.part(folder, "steps", 0, [steps])
    write_status(folder, runs.status(files=digests))
    file = folder / "layers" / "part-000000000.parquet"
    selection = Selection(("log10_backward",), minibatch_ends)
    assert len(gather([open_run(folder)], "layers", (), selection))
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)
    with pytest.raises(RecipeError, match="corrupt"):
        gather([open_run(folder)], "layers", (), selection)


@pytest.mark.slow
def test_the_selected_rows_of_many_runs_cost_less_than_half_of_all(tmp_path):
    steps = list(range(500))
    layers = runs.layer_table(runs.walk(20, 500), steps)
    table = runs.step_table([2.0] * 500, steps)
    source = runs.opened(tmp_path / "source", [layers], [table])
    for seed in range(40):
        copy(source, tmp_path / "study" / f"s{seed}", {"seed": seed}, shift=0.01)
    stored, problems = read_each(tmp_path / "study", whole)
    assert (len(stored), problems) == (40, ([], []))

    def seconds(selection):
        begun = time.process_time()
        rows = gather(stored, "layers", (), selection)
        return time.process_time() - begun, len(rows)

    selection = Selection(("log10_forward", "log10_backward"), minibatch_ends)
    seconds(selection)  # what is done once
    (few, ends), (many, rows) = seconds(selection), seconds(None)
    assert (ends, rows) == (40 * 2 * 22, 40 * 500 * 22)
    assert few < many / 2
