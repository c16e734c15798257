"""The causes beside the verdicts, and the findings that carry the numbers of every word."""

import numpy as np
import pytest

from gradlab.analysis.findings import of_signal
from gradlab.analysis.verdicts import diagnose
from tests import runs

STEPS = [0, 10, 20]
STALLED = [2.3] * 3


def diagnosed(tmp_path, loss=STALLED, backward=None, steps=None, **columns):
    """The findings of a stalled run of 12 layers; columns of layers are broadcast to (steps, layers)."""
    recipe = {key: columns.pop(key) for key in ("clip", "optimizer", "dtype") if key in columns}
    backward = np.zeros((3, 14)) if backward is None else np.broadcast_to(backward, (3, 14))
    more = {name: np.broadcast_to(column, (3, 14)) for name, column in columns.items()}
    layers = runs.layer_table(backward, STEPS, **more)
    accuracy = {"train_accuracy": [0.1] * 3, "test_accuracy": [0.1] * 3}
    table = runs.step_table(loss, STEPS, **accuracy, **(steps or {}))
    run = runs.opened(tmp_path / "run", [layers], [table], depth=12, **recipe)
    return {
        (finding.word, finding.at): finding for finding in diagnose(run).findings if finding.about == "cause"
    }


def test_blocked_layers_are_named_at_the_start_and_the_end(tmp_path):
    saturated = np.zeros((3, 14))
    saturated[0, 4:9], saturated[2, 5] = 0.8, 0.5
    found = diagnosed(tmp_path, saturated=saturated, dead=np.full((3, 14), 0.4))
    assert {key: finding.layers for key, finding in found.items()} == {
        ("saturated", "start"): [4, 5, 6, 7, 8],
        ("saturated", "end"): [5],
    }


def test_units_behind_an_overflow_are_not_dead(tmp_path):
    forward = np.where(np.arange(14) < 5, 0.0, np.inf)
    backward = np.where(np.arange(14) < 0, 0.0, np.nan)
    found = diagnosed(tmp_path, backward=backward, log10_forward=forward, dead=np.ones((3, 14)))
    assert found[("dead units", "start")].layers == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("ratio", "lost", "word"),
    [
        (-3.0, 0.0, None),
        (-5.0, 0.9, None),  # lost entries, but updates that are not that small: gradients of zero, say
        (-8.0, 0.9, "updates lost to rounding"),
        (-6.5, 0.1, "update too small"),
        (-0.5, 0.0, "update too large"),
    ],
)
def test_updates_are_judged_by_their_weights(tmp_path, ratio, lost, word):
    found = diagnosed(tmp_path, log10_update=1.0 + ratio, log10_weight=1.0, update_lost=lost)
    assert [key[0] for key in found] == ([word] if word else [])


def test_the_number_format_decides_what_rounding_loses(tmp_path):
    found = diagnosed(tmp_path, dtype="float64", log10_update=-8.0, log10_weight=0.0, update_lost=0.9)
    assert [key[0] for key in found] == ["update too small"]


def test_a_network_that_learned_has_updates_of_any_size(tmp_path):
    accuracy = {"train_accuracy": [0.1, 0.9, 0.9], "test_accuracy": [0.1, 0.9, 0.9]}
    layers = runs.layer_table(
        np.zeros((3, 14)), STEPS, log10_update=np.full((3, 14), -8.0), log10_weight=np.zeros((3, 14))
    )
    table = runs.step_table([2.3, 0.1, 0.1], STEPS, **accuracy)
    found = diagnose(runs.opened(tmp_path / "run", [layers], [table], depth=12))
    assert [finding.word for finding in found.findings] == ["flowing", "flowing", "learned"]


@pytest.mark.parametrize(
    ("clip", "clipped", "word"),
    [("norm", 1.0, "clip always acts"), ("norm", 0.0, "clip never acts"), ("normalize", 1.0, None)],
)
def test_a_clip_that_acts_always_or_never_is_told(tmp_path, clip, clipped, word):
    part = {"name": clip, "threshold": 1.0}
    found = diagnosed(tmp_path, clip=part, steps={"clipped": [clipped] * 3})
    assert [key[0] for key in found] == ([word] if word else [])


@pytest.mark.parametrize(("optimizer", "told"), [("adam", True), ("sgd", False)])
def test_adam_s_updates_hide_a_vanished_gradient(tmp_path, optimizer, told):
    backward = np.linspace(-6.5, 0, 14)
    found = diagnosed(
        tmp_path, backward=backward, optimizer={"name": optimizer}, log10_update=-3.0, log10_weight=0.0
    )
    assert (("adam hides a vanished gradient", "start") in found) == told


def test_small_updates_of_the_first_layers_hide_nothing(tmp_path):
    backward = np.linspace(-6.5, 0, 14)
    found = diagnosed(
        tmp_path, backward=backward, optimizer={"name": "adam"}, log10_update=backward - 3, log10_weight=0.0
    )
    assert ("adam hides a vanished gradient", "start") not in found


def test_seeds_that_break_at_different_layers_are_counted(tmp_path):
    def rows(seed, layer):
        backward = np.where(np.arange(22) < layer, -np.inf, 0.1 * np.arange(22))
        dead = (np.arange(22) == layer).astype(float)
        forward = np.where(np.arange(22) < layer, 0.0, -np.inf)
        return runs.layer_table(backward[None], [0], forward[None], seed, dead=dead[None])

    at = [3, 3, 5, 9]
    layers = [rows(seed, layer) for seed, layer in enumerate(at)]
    layers.append(runs.layer_table(0.1 * np.arange(22)[None], [0], seed=4))
    tables = [runs.step_table([2.3], [0], seed) for seed in range(5)]
    found = diagnose(runs.opened(tmp_path / "run", layers, tables, seeds=5)).signal_start
    assert (
        "cut: in 4 of 5 seeds (all units are dead: layer 3 in 2, layer 5 in 1, layer 9 in 1)"
        in found.sentence
    )
    assert "mean of 1 seed" in found.sentence
    (finding,) = (finding for finding in of_signal(found, "start") if finding.word == "cut")
    assert (finding.seeds, finding.layers) == (4, [3, 5, 9])


def test_the_gain_of_cut_seeds_is_the_mean_over_what_each_still_reaches(tmp_path):
    def rows(seed, layer, slope):
        backward = np.where(np.arange(22) < layer, -np.inf, slope * np.arange(22))
        return runs.layer_table(backward[None], [0], seed=seed)

    layers = [rows(0, 15, 0.1), rows(1, 3, 0.3)]
    tables = [runs.step_table([2.3], [0], seed) for seed in range(2)]
    found = diagnose(runs.opened(tmp_path / "run", layers, tables, seeds=2)).signal_start
    assert found.gain == pytest.approx(10**-0.2, rel=1e-5)
    assert "over the layers that the signal reaches, mean of 2 seeds" in found.sentence
