"""The JSON of a result: its keys are those that scripts read."""

import json

import numpy as np
import pytest

from gradlab.analysis.clip_advice import advise
from gradlab.analysis.lr_range import range_test
from gradlab.analysis.results import to_json
from gradlab.analysis.time_signal import time_verdicts
from gradlab.analysis.verdicts import diagnose
from gradlab.store.read import open_run
from tests import runs
from tests.analysis.test_clip_advice import noise, recorded, spiky
from tests.analysis.test_lr_range import frame, valley
from tests.analysis.test_time_signal import rows

SIGNAL = {
    "step", "verdict", "words", "sentence", "layers", "seeds", "seeds_averaged", "gain", "gain_interval",
    "gain_theory", "decades", "decades_interval", "shape", "cosine", "effective_rank",
    "effective_rank_before", "defects",
}  # fmt: skip
TRAINING = {
    "verdict", "words", "seeds", "counts", "additions", "diverged", "steps", "chance_loss", "metric", "chance_score",
    "clip_share", "stopped", "updates", "dropped", "last_finite", "loss_first", "loss_last",
    "train_score", "test_score",
    "sentence", "clip_shares", "overflows",
}  # fmt: skip
DIAGNOSIS = {
    "run", "state", "data", "signal_start", "signal_end", "training", "times_start", "times_end", "theory",
    "findings", "rules",
}  # fmt: skip
FINDING = {"word", "about", "at", "seeds", "layers", "steps", "numbers", "interval"}
TIME = {"layer", "name", "times", "verdict", "decades", "gain", "gain_interval", "reach", "sentence"}
ADVICE = {
    "run", "state", "steps", "seeds", "every", "zeros", "nonfinite", "least", "largest", "percentiles", "advice",
    "thresholds", "own", "warnings",
}  # fmt: skip
RECOMMENDATION = {"clip", "threshold", "spikes", "most", "reason"}
CURVE = {
    "seed", "rates", "smoothed", "first", "best", "fell", "diverged", "begins", "steepest", "least", "lost",
}  # fmt: skip
RANGE = {
    "seeds", "low", "high", "fell", "diverged", "first", "best", "begins", "steepest", "least", "lost",
    "recommended", "sentences",
}  # fmt: skip


def test_a_diagnosis_has_its_keys(tmp_path):
    found = to_json(diagnose(open_run(runs.simple(tmp_path / "run"))))
    assert found.keys() == DIAGNOSIS
    assert found["signal_start"].keys() == found["signal_end"].keys() == SIGNAL
    assert found["training"].keys() == TRAINING
    assert found["training"]["counts"] == {"learned": 1}
    assert [finding["word"] for finding in found["findings"]] == ["flowing", "flowing", "learned"]
    assert found["findings"][0].keys() == FINDING
    assert found["rules"].keys() == {"flowing", "learned"}
    assert found["rules"]["learned"].keys() == {"rule", "formula", "source", "misleads"}


def test_a_defect_has_its_keys(tmp_path):
    layers = [runs.layer_table(np.full((1, 22), -np.inf), [0])]
    found = to_json(diagnose(runs.opened(tmp_path / "run", layers, [runs.step_table([2.0], [0])])))
    assert found["signal_start"]["defects"] == [
        {
            "seed": 0,
            "kind": "cut",
            "layer": 21,
            "where": "loss",
            "cause": "",
            "step": 0,
            "growth": None,
            "surely_grows": False,
        }
    ]


def test_a_verdict_over_time_has_its_keys():
    (found,) = time_verdicts(rows(np.arange(9.0)))
    assert to_json(found).keys() == TIME


@pytest.mark.parametrize(
    ("log10", "more"), [(noise(), set()), (spiky(), {"clipped", "scale", "cut"})], ids=["none", "norm"]
)
def test_advice_has_its_keys(tmp_path, log10, more):
    clip = {"name": "norm", "threshold": 1.0, "p": 2.0, "where": "gradient"}
    found = to_json(advise(recorded(tmp_path / "run", log10, clip=clip)))
    assert found.keys() == ADVICE
    assert found["advice"].keys() == RECOMMENDATION | more
    assert found["own"].keys() == {"clip", "threshold", "clipped"}
    assert {key for effect in found["thresholds"] for key in effect} == {"threshold", "clipped", "scale"}
    assert list(found["percentiles"]) == ["5", "10", "25", "50", "75", "90", "95", "99"]


def test_a_range_test_has_its_keys(tmp_path):
    found = to_json(range_test(frame(tmp_path / "run", valley())))
    assert found.keys() == RANGE
    assert found["seeds"][0].keys() == CURVE
    assert [label for label, _ in found["sentences"]] == ["loss", "diverges", "recommended"]


def test_what_is_not_finite_is_null(tmp_path):
    layers = [runs.layer_table(np.full((1, 22), np.nan), [0])]
    run = runs.opened(tmp_path / "run", layers, [runs.step_table([np.nan], [0])])
    text = json.dumps(to_json(diagnose(run)), allow_nan=False)
    assert json.loads(text)["training"]["loss_last"] is None
