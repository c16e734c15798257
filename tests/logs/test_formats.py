"""Logs of other programs: small files as they document them, and event files that TensorBoard's own writer wrote."""

from pathlib import Path

import pytest

from gradlab.analysis.verdicts import diagnose
from gradlab.commands.main import main
from gradlab.store.read import open_run
from tests.logs.writing import SAMPLES


def sample(name: str, run: str):
    assert main(["ingest", str(SAMPLES / name)]) == 0
    return open_run(Path("outputs/ingested") / run)


def test_hugging_face_s_trainer_state_has_steps_and_no_layers():
    run = sample("trainer_state.json", "samples-trainer_state")
    assert run.layers.empty
    steps = run.steps.set_index("step")
    assert steps.loss.tolist() == pytest.approx([2.5, 2.0, 1.5, 1.0])
    assert (10 ** steps.log10_gradient.astype(float)).tolist() == pytest.approx(
        [1.5, 2.25, float("inf"), 0.75]
    )
    assert steps.learning_rate.tolist() == pytest.approx([3.75e-5, 2.5e-5, 1.25e-5, 0.0])
    assert steps.test_loss.isna().tolist() == [True, False, True, False]
    assert steps.test_accuracy[40] == pytest.approx(0.7)
    told = diagnose(run)
    assert (
        told.not_recorded
        == "not recorded: the log has no layers, so nothing is known of the signal over depth"
    )
    assert told.training.sentence == (
        "not judged: loss 2.50 → 1.00; loss on the evaluation set 1.20 at step 40; accuracy on the evaluation set 0.70 "
        "at step 40; 1 of 4 gradient norms are not finite, and the training went on; the chance loss of the task is "
        "not known, so nothing says whether it has learned"
    )


def test_lightning_s_metrics_have_a_gradient_for_each_layer():
    run = sample("metrics.csv", "samples-metrics")
    rows = run.layers[(run.layers.step == 0).to_numpy()]
    assert rows.name.tolist() == [f"layers.{number}.weight" for number in range(11)]
    assert rows.log10_gradient.tolist() == pytest.approx(
        [-0.2 * (10 - layer) for layer in range(11)], abs=1e-5
    )
    assert (10 ** run.steps.log10_gradient.astype(float))[0] == pytest.approx(2.7)
    assert run.steps.test_loss.tolist()[-1] == pytest.approx(1.875)
    told = diagnose(run)
    assert told.signal_start is None
    assert told.weights_start.verdict == "weight gradient falls"
    assert told.weights_start.decades == pytest.approx(-1.6, abs=1e-4)  # from layer 9 back to layer 1


def test_a_history_of_weights_and_biases_has_norms_that_were_logged():
    run = sample("history.jsonl", "samples-history")
    assert list(dict.fromkeys(run.layers.name)) == [f"encoder.{number}.weight" for number in range(5)]
    assert run.steps.loss.isna().sum() == 0  # NaN is measured
    assert diagnose(run).training.sentence.startswith(
        "not judged: loss 2.00 → 0.50; 1 of 4 losses are not finite"
    )


def test_histograms_alone_are_refused(capsys):
    assert main(["ingest", str(SAMPLES / "watch.jsonl")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "histogram" in error


def write_events(folder: Path, tags: dict[str, list[float]], as_tensors: bool = False) -> None:
    """Scalars by TensorBoard's own writer, as PyTorch writes them, or as TensorFlow 2 does."""
    proto = pytest.importorskip("tensorboard.compat.proto.summary_pb2")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for tag, values in tags.items():
        for step, value in enumerate(values):
            plain = proto.Summary(value=[proto.Summary.Value(tag=tag, simple_value=value)])
            summary = scalar_pb(tag, value) if as_tensors else plain
            writer.add_event(Event(step=10 * step, wall_time=float(step), summary=summary))
    writer.close()


@pytest.mark.parametrize("as_tensors", [False, True])
def test_tensorboard_s_event_files(as_tensors):
    tags = {f"grad_norm/layers.{layer}": [10.0**-layer, 1.0, 0.0] for layer in (10, 9, 1)}
    write_events(Path("events"), tags | {"train/loss": [2.0, float("nan"), 0.5]}, as_tensors)
    assert main(["ingest", "events"]) == 0
    run = open_run("outputs/ingested/events")
    assert list(dict.fromkeys(run.layers.name)) == ["layers.1", "layers.9", "layers.10"]
    assert run.layers.log10_gradient.tolist() == pytest.approx([-1, -9, -10, 0, 0, 0, *3 * [float("-inf")]])
    assert [str(loss) for loss in run.steps.loss] == ["2.0", "nan", "0.5"]
    assert run.steps.step.tolist() == [0, 10, 20]
    (file,) = Path("events").iterdir()
    assert main(["ingest", str(file), "--name", "one_file"]) == 0
    assert open_run("outputs/ingested/one_file").layers.equals(run.layers)


def test_event_files_without_scalars_are_refused(capsys):
    write_events(Path("events"), {})
    assert main(["ingest", "events"]) == 2
    assert "has no scalars" in capsys.readouterr().err


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, capsys):
    Path("events.out.tfevents.1").write_bytes(b"x")
    monkeypatch.setitem(
        __import__("sys").modules, "tensorboard.backend.event_processing.event_accumulator", None
    )
    assert main(["ingest", "events.out.tfevents.1"]) == 2
    assert "pip install 'gradlab-jax[tensorboard]'" in capsys.readouterr().err
