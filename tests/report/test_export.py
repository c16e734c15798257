"""What other tools read of an exported run is what is stored, NaN and ±inf included."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradlab.commands.main import main
from tests import runs
from tests.report.event_files import accumulated, of_tensorboard, of_wandb, stored, wandb_records

STEPS = [0, 5, 10]


@pytest.fixture
def run(tmp_path):
    """Three steps of four layers, with all that a float can be, and the last step of the fixed batch."""
    pytest.importorskip("tensorboard")
    backward = np.array([[-np.inf, -3.5, np.nan, 0.25], [np.inf, 1e-3, -38.2, 0.5], [-1.0, -2.0, -3.0, -4.0]])
    layers = runs.layer_table(backward, STEPS, cosine=[None, 0.5, 1.0] * 4)
    probe = replaced(layers.slice(8, 4), "source", ["probe"] * 4)
    steps = runs.step_table([2.5, math.nan, math.inf], STEPS, test_accuracy=[0.1, None, 0.9])
    return runs.opened(tmp_path / "big" / "a", [layers, probe], [steps], depth=2)


def replaced(layers, name, words):
    """A table of layers with other words in a column."""
    field = layers.schema.field(name)
    return layers.set_column(layers.schema.get_field_index(name), field, pa.array(words).cast(field.type))


def same(found, expected):
    assert found.keys() == expected.keys()
    for tag, rows in expected.items():
        np.testing.assert_array_equal(np.array(found[tag]), np.array(rows), err_msg=tag)


def test_tensorboard_reads_what_is_stored(run, tmp_path, caplog):
    assert main(["export", str(run.folder), "--to", "tensorboard", "--out", str(tmp_path / "x")]) == 0
    found = of_tensorboard(tmp_path / "x" / "big" / "a")
    same(found, stored(run))
    assert found["backward/input"][:2] == [(0, -math.inf), (5, math.inf)]
    assert math.isnan(found["steps/loss"][1][1])
    assert found["steps/test_accuracy"] == [(0, pytest.approx(0.1)), (10, pytest.approx(0.9))]
    assert "probe/backward/output" in found
    assert not caplog.records  # TensorBoard finds nothing odd


def test_wandb_reads_what_is_stored(run, tmp_path):
    pytest.importorskip("wandb")
    assert main(["export", str(run.folder), "--to", "wandb", "--out", str(tmp_path / "x")]) == 0
    (folder,) = (tmp_path / "x" / "wandb").iterdir()
    same(of_wandb(folder), stored(run))
    (record,) = (r.run for r in wandb_records(folder) if r.WhichOneof("record_type") == "run")
    config = {entry.key: entry.value_json for entry in record.config.update}
    assert (config["depth"], config["clip"], config["state"]) == ("2", '"none"', '"finished"')
    assert (record.run_group, record.display_name, record.host) == ("big", "big/a", "")


def test_an_offline_run_is_replaced_only_with_force(run, tmp_path, capsys):
    pytest.importorskip("wandb")
    line = ["export", str(run.folder), "--to", "wandb", "--out", str(tmp_path / "x")]
    assert main(line) == 0
    (folder,) = (tmp_path / "x" / "wandb").iterdir()
    (mark,) = (file.with_suffix(".wandb.synced") for file in folder.iterdir())
    mark.touch()  # as `wandb sync` does
    assert main(line) == 2
    assert f"{folder} is there already; replace it with --force" in capsys.readouterr().err
    assert main([*line, "--force"]) == 0
    assert list((tmp_path / "x" / "wandb").iterdir()) == [folder]
    assert not mark.exists()
    same(of_wandb(folder), stored(run))


def test_the_recipe_is_text_and_hyperparameters(run, tmp_path):
    assert main(["export", str(run.folder), "--to", "tensorboard", "--out", str(tmp_path / "x")]) == 0
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data
    from tensorboard.util.tensor_util import make_ndarray

    accumulator = accumulated(tmp_path / "x" / "big" / "a")
    texts = {
        tag: make_ndarray(accumulator.Tensors(tag)[0].tensor_proto)[0].decode()
        for tag in ("recipe", "columns")
    }
    assert "\n| activation | tanh |\n" in texts["recipe"]
    assert "\n| recipe | mlp · depth 2 · width 64 · tanh" in texts["recipe"]
    (row,) = (line for line in texts["columns"].splitlines() if line.startswith("| backward/… "))
    assert row.startswith("| backward/… | log10 of √B·‖∂(mean loss)/∂h_l‖_F")
    assert row.endswith(" [log10] |")
    content = accumulator.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = parse_session_start_info_plugin_data(content).hparams
    assert (values["depth"].number_value, values["remat"].bool_value) == (2, False)
    assert values["initializer"].string_value == "orthogonal"


def test_each_seed_has_its_own_folder(tmp_path):
    pytest.importorskip("tensorboard")
    folder = runs.simple(tmp_path / "big" / "b", depth=2, seeds=2)
    assert main(["export", str(folder), "--to", "tensorboard", "--out", str(tmp_path / "x")]) == 0
    run = runs.open_run(folder)
    for seed in (0, 1):
        same(of_tensorboard(tmp_path / "x" / "big" / "b" / f"seed_{seed}"), stored(run, seed))


def test_a_measure_inside_a_block_is_a_scalar(run, tmp_path):
    notes = {
        "seed": [0, 0],
        "step": [0, 5],
        "source": ["batch"] * 2,
        "layer": [1, 1],
        "name": ["hidden 1"] * 2,
    }
    (run.folder / "notes").mkdir()
    rows = runs.table("notes", notes | {"measure": ["entropy"] * 2, "value": [0.5, None]})
    pq.write_table(rows, run.folder / "notes" / "all.parquet")
    assert main(["export", str(run.folder), "--to", "tensorboard", "--out", str(tmp_path / "x")]) == 0
    found = of_tensorboard(tmp_path / "x" / "big" / "a")
    assert found["notes/entropy/hidden 1"] == [(0, 0.5)]


def test_a_column_named_as_one_of_log10_without_it_has_a_tag_of_its_own(tmp_path):
    pytest.importorskip("tensorboard")
    layers = runs.layer_table(np.array([[1.0, 2.0, 3.0]]), [0])
    layers = layers.append_column("backward", pa.array([10.0, 100.0, 1000.0], pa.float32()))
    run = runs.opened(tmp_path / "big" / "a", [layers], [runs.step_table([1.0], [0])], depth=1)
    assert main(["export", str(run.folder), "--to", "tensorboard", "--out", str(tmp_path / "x")]) == 0
    found = of_tensorboard(tmp_path / "x" / "big" / "a")
    assert (found["log10_backward/input"], found["backward/input"]) == ([(0, 1.0)], [(0, 10.0)])


def test_two_layers_of_one_name_have_two_tags(tmp_path):
    pytest.importorskip("tensorboard")
    layers = runs.layer_table(np.array([[1.0, 2.0, 3.0, 4.0]]), [0])
    named = replaced(layers, "name", ["input", "same", "same", "output"])
    run = runs.opened(tmp_path / "big" / "a", [named], [runs.step_table([1.0], [0])])
    assert main(["export", str(run.folder), "--to", "tensorboard", "--out", str(tmp_path / "x")]) == 0
    found = of_tensorboard(tmp_path / "x" / "big" / "a")
    assert (found["backward/1 same"], found["backward/2 same"]) == ([(0, 2.0)], [(0, 3.0)])
