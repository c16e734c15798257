"""The verdicts on a foreign run: equal numbers have an equal verdict, and what is not known is said or left out."""

import math
from pathlib import Path

import numpy as np
import pytest

from gradlab.analysis.clip_advice import advise, recorded_norms
from gradlab.analysis.gain import backward_gain
from gradlab.analysis.verdict_run import VerdictRun
from gradlab.analysis.verdicts import diagnose, failed
from gradlab.commands.main import main
from gradlab.figures import heatmap, training
from gradlab.recipe.errors import RecipeError
from gradlab.report.summary import describe, title
from gradlab.store.read import open_run
from tests import runs
from tests.logs.writing import exported, long_rows, write_csv

COMPARED = (
    "verdict words step layers seeds seeds_averaged gain gain_interval decades decades_interval".split()
)
COMPARED += ["shape", "defects"]


def ingested(path: Path, *words: str):
    assert main(["ingest", str(path), *words]) == 0
    return open_run(Path("outputs/ingested") / path.stem)


def profiles(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Backward and forward profiles at two steps, (2, layers)."""
    walk = runs.walk(20, 2, {"vanishing": 0.7, "exploding": 1.5}.get(case, 0.98))
    forward = np.zeros_like(walk)
    if case == "cut":
        walk[1, :8] = -np.inf
    if case == "overflow":
        forward[1] = np.r_[np.arange(10) * 4.0, np.full(12, np.inf)]
        walk[1] = np.nan
    if case == "undefined":
        forward[1, 5:] = np.nan
        walk[1] = np.nan
    if case == "few":
        walk, forward = walk[:, :4], forward[:, :4]
    return walk, forward


@pytest.mark.parametrize("case", "flowing vanishing exploding cut overflow undefined few".split())
def test_equal_numbers_have_the_verdict_of_the_run_itself(tmp_path, case):
    backward, forward = profiles(case)
    layers = [runs.layer_table(backward, [0, 10], forward=forward)]
    steps = [runs.step_table([2.3, math.nan if case in ("overflow", "undefined") else 0.1], [0, 10])]
    state = runs.status()
    if case in ("overflow", "undefined"):
        where = {"layer": 10 if case == "overflow" else 5, "name": "", "where": "forward"}
        state = runs.status("diverged", nonfinite=[{"seed": 0, "step": 10, **where}])
    own = runs.opened(tmp_path / "own", layers, steps, state, depth=backward.shape[1] - 2)
    expected, found = diagnose(own), diagnose(ingested(exported(own, tmp_path / "log.csv")))
    for part in ("signal_start", "signal_end"):
        for name in COMPARED:
            assert getattr(getattr(found, part), name) == getattr(getattr(expected, part), name), (part, name)
    assert expected.signal_end.verdict == (case if case != "few" else "flowing")
    assert found.training.verdict == ("diverged" if case in ("overflow", "undefined") else "not judged")


@pytest.mark.slow
def test_a_run_that_was_trained_has_the_verdict_of_its_log(tmp_path):
    import gradlab

    run = gradlab.run(model="mlp", depth=8, width=8, steps=4, activation="sigmoid", quiet=True)
    expected, found = diagnose(run), diagnose(ingested(exported(run, tmp_path / "log.csv")))
    for part in ("signal_start", "signal_end"):
        for name in COMPARED:
            assert getattr(getattr(found, part), name) == getattr(getattr(expected, part), name)


def gradients(values, layers=8, **columns):
    """A log of weight gradients alone."""
    rows = long_rows((0, 5), layers, log10_gradient=values, **columns)
    return [{key: value for key, value in row.items() if key != "log10_backward"} for row in rows]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (lambda step, layer: 0.01 * layer, "weight gradient level"),
        (lambda step, layer: 0.5 * layer, "weight gradient falls"),
        (lambda step, layer: -0.5 * layer, "weight gradient rises"),
        (lambda step, layer: -math.inf if layer == 2 else 0.0, "weight gradient zero"),
        (lambda step, layer: math.inf if layer == 2 else 0.0, "weight gradient not finite"),
        (lambda step, layer: math.nan if layer == 0 else -math.inf, "weight gradient not finite"),
    ],
)
def test_weight_gradients_have_words_of_their_own(values, word):
    run = ingested(write_csv(Path("log.csv"), gradients(values)))
    told = diagnose(run)
    assert told.signal_start is None
    assert told.signal_end is None
    assert told.weights_start.verdict == told.weights_end.verdict == word
    assert told.weights_start.sentence.startswith(word)
    assert failed(told, ["vanishing", "exploding", "flowing", word]) == [word]
    assert not any(finding.about == "signal" for finding in told.findings)


def test_the_decades_of_weight_gradients_are_those_between_the_ends():
    """From the last layer but one back to the second: −0.5·5 decades; a step of one layer and another."""
    told = diagnose(ingested(write_csv(Path("log.csv"), gradients(lambda step, layer: 0.5 * layer))))
    assert told.weights_start.decades == pytest.approx(-2.5)
    assert "−2.5 decades from layer 6 (layers.6) back to layer 1 (layers.1)" in told.weights_start.sentence
    assert "does not prove it" in told.weights_start.sentence
    assert "no gradients at the layers' outputs" in told.not_recorded


def test_a_backward_signal_of_some_layers_is_one_of_these():
    rows = long_rows(layers=9, log10_gradient=lambda step, layer: 0.0)
    for row in rows:
        if row["layer"] in ("layers.3", "layers.5"):
            row["log10_backward"] = ""
    told = diagnose(ingested(write_csv(Path("log.csv"), rows)))
    assert told.signal_start.layers == 5
    assert told.signal_start.decades == pytest.approx(-3.0)


@pytest.mark.parametrize(
    ("names", "comparable"),
    [
        ("layers.0 layers.1 layers.2 layers.3", True),
        ("m.h.0.mlp m.h.1.mlp m.h.2.mlp m.h.3.mlp", True),
        ("0 1 2 3", True),
        ("dense_1 dense_2 dense_3 dense_4", True),
        ("a.0.q a.0.k a.1.q a.1.k", False),
        ("conv pool dense out", False),
        ("layer1.0 layer2.0 layer3.0 layer4.0", False),  # of other widths
    ],
)
def test_a_gain_is_of_layers_of_one_kind(names, comparable):
    import pandas as pd

    own = names.split()
    inner = ["first", *own, "last"]
    frame = pd.DataFrame({"seed": 0, "step": 0, "source": "batch", "layer": range(6), "name": inner})
    gain = backward_gain(frame.assign(log10_backward=np.arange(6) * 0.3))
    assert (gain.gain is not None) == comparable
    assert gain.decades == pytest.approx(-0.9)


def test_the_map_of_such_a_log_is_relative_to_a_layer_that_it_has():
    rows = [row for row in long_rows(layers=9) if row["layer"] != "layers.7"]
    rows += [{"step": 0, "layer": "layers.7", "log10_gradient": 0.0}]
    (panel, *_) = heatmap.run_figure(ingested(write_csv(Path("log.csv"), rows)), "").axes
    assert panel.get_title(loc="left") == "Backward signal relative to the last layer but one (6)"


@pytest.mark.parametrize("values", [lambda step, layer: 0.3 * layer, lambda step, layer: ""])
def test_the_verdicts_of_few_rows_are_those_of_all(values):
    rows = long_rows(range(0, 50, 10), 9, log10_gradient=values)
    for row in rows:
        if row["step"] == 40 or values(0, 1):
            row["log10_backward"] = ""
    run = ingested(write_csv(Path("log.csv"), rows))
    few = VerdictRun(run.folder, run.recipe, run.status)
    assert diagnose(few) == diagnose(run)
    assert few.layers.step.nunique() == 2


def test_a_nan_without_a_forward_signal_is_not_explained():
    rows = long_rows((0, 1), log10_backward=lambda step, layer: math.nan if step and layer < 3 else 0.0)
    told = diagnose(ingested(write_csv(Path("log.csv"), rows)))
    assert told.signal_end.verdict == "undefined"
    assert "ordinary size" not in told.signal_end.sentence
    assert "the forward signal is missing" in told.signal_end.sentence


def test_a_zero_of_a_log_may_be_an_underflow():
    rows = long_rows(log10_backward=lambda step, layer: -math.inf if layer < 2 else 0.0)
    told = diagnose(ingested(write_csv(Path("log.csv"), rows)))
    assert told.signal_start.verdict == "cut"
    assert "too small for the number format" in told.notes[0]


def test_a_signal_of_another_definition_is_named():
    rows = [{"step": 0} | {f"act_grad_norm/{layer}": 1.0 for layer in range(5)}]
    told = diagnose(ingested(write_csv(Path("log.csv"), rows)))
    assert told.signal_start.verdict == "flowing"
    assert told.notes == ["the backward signal is act_grad_norm/* of log.csv, as its program defines it"]


def test_no_theory_no_chance_level_and_no_default_is_shown():
    run = ingested(write_csv(Path("log.csv"), long_rows()), "optimizer=adam", "clip=norm", "clip.threshold=2")
    told = diagnose(run)
    assert told.theory == "no prediction: the network is not known, only what was recorded of it"
    assert told.training.chance_loss is None
    assert told.data is None
    assert describe(run.recipe) == "log.csv · optimizer adam · clip norm threshold 2.0"
    assert title(run) == "log · log.csv · optimizer adam · clip norm threshold 2"


def test_a_clip_without_a_threshold_is_no_line_in_a_figure():
    rows = [{"step": step, "loss": 1.0, "grad_norm": 1.0} for step in range(3)]
    run = ingested(write_csv(Path("log.csv"), rows), "clip=norm")
    entries = training.run_figure(run, "").legends[0].get_texts()
    assert "clip threshold" not in [entry.get_text() for entry in entries]
    assert advise(run).own is None


def test_the_norm_over_layers_stands_for_a_global_norm_that_is_not_there():
    rows = gradients(lambda step, layer: math.log10(step + layer + 1), 6)
    run = ingested(write_csv(Path("log.csv"), rows))
    expected = [math.log10(math.sqrt(sum((step + layer + 1) ** 2 for layer in range(6)))) for step in (0, 5)]
    assert recorded_norms(run).log10_norm.tolist() == pytest.approx(expected, abs=1e-6)
    assert any("over the recorded layers, at most as large" in warning for warning in advise(run).warnings)


def test_a_global_norm_is_advised_on_as_it_was_recorded():
    norms = [1.0] * 60
    norms[20] = norms[40] = norms[50] = 30.0
    rows = [{"step": 10 * step, "loss": 1.0, "grad_norm": norm} for step, norm in enumerate(norms)]
    advice = advise(ingested(write_csv(Path("log.csv"), rows)))
    assert (advice.advice.clip, advice.advice.spikes, advice.every, advice.steps) == ("norm", 3, 10, 60)
    assert "broke down" not in advice.advice.reason
    assert any("whether the loss rose again is not judged" in warning for warning in advice.warnings)


def test_a_log_without_a_gradient_has_no_clip_advice():
    run = ingested(write_csv(Path("log.csv"), [{"step": 0, "loss": 1.0}, {"step": 1, "loss": 0.5}]))
    with pytest.raises(
        RecipeError, match="recorded no norm of a gradient, neither of all parameters nor of a layer"
    ):
        advise(run)
