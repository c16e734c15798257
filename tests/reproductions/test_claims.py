"""Every claim is reproduced within two minutes on two cores, and not with a wrong recipe or a wrong number."""

import math
from importlib import import_module
from pathlib import Path

import pytest

from gradlab.commands.reproduce import Reproduction, runs_of
from gradlab.reproductions.check import Study
from gradlab.reproductions.registry import Claim, claims
from tests.reproductions.page import measured

SECONDS = 120
# by claim: words of its recipes and what stands in their place; with these recipes it must not be reproduced
WRONG_WORDS = {
    "bn_explosion": {"normalization=batch": "normalization=layer"},
    "clip_compare": {"lr=0.3": "lr=0.001"},
    "clip_x4": {"clip.threshold=1": "clip.threshold=0.5"},
    "edge_of_stability": {"lr=1.5": "lr=0.25"},
    "shattered": {"normalization=batch": "normalization=none"},
    "delta_orth_1000": {"initializer=delta_orthogonal": "initializer=normal"},
    "glorot2010": {"activation=tanh": "activation=erf"},
    "he30_training": {"initializer=he": "initializer=xavier"},
    "he_factors": {"activation=relu": "activation=tanh"},
    "he_with_gelu": {"activation=gelu": "activation=silu"},
    "lstm_forget_bias": {"model.radius=1e-12": "model.radius=1.0"},
    "noise_scale": {"batch_size=0": "batch_size=64"},
    "norm_placement": {"normalization.place=after": "normalization.place=before"},
    "preln_postln": {"model.order=pre": "model.order=post"},
    "residual_scaling": {"activation=relu": "activation=linear"},
    "selu_selfnorm": {"activation=selu": "activation=elu"},
    "sigmoid_vanishing": {"initializer=xavier": "initializer=he"},
    "trainability_6xi": {"steps=600": "steps=20"},
    "weight_vs_activation_gradient": {"initializer=xavier": "initializer=he"},
}
# by claim: numbers of its module that are wrong
WRONG_NUMBERS: dict[str, dict[str, object]] = {
    "isometry": {  # tanh whose pre-activations have the variance 1/16
        "TINY": ("data=single", "data.x=4", "initializer.gain=1.0153149186"),
        "CELLS": {("tanh", "orthogonal"): 0.0169},
    },
    "rnn_spectral_radius": {"LINEAR": {1.1: 1.101}},
    "phase_diagram": {"CRITICAL": {"tanh": (1.0, 1.26009, 1.76095, 2.40149, 3.4433)}},
    "xi_growth": {"CELLS": {("relu", 1.0): -13.33 + 20 * math.log(1.1)}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", claims())
def test_a_claim_is_reproduced_in_time(name, tmp_path):
    outcome = measured(name, tmp_path)
    assert outcome.code == 0, outcome.output
    # of a processor, whatever else the machine does: two cores need no longer than this
    assert outcome.seconds < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("name", claims())
def test_a_wrong_recipe_or_number_is_not_reproduced(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    claim = claims()[name]
    module = import_module(f"gradlab.reproductions.{name}")
    for constant, value in WRONG_NUMBERS.get(name, {}).items():
        monkeypatch.setattr(module, constant, value)
    checks = module.measure(Study(name, _misled(claim, WRONG_WORDS.get(name, {}))))
    assert not Reproduction(claim, checks).reproduced


def _misled(claim: Claim, wrong: dict[str, str]):
    """What runs other recipes than the claim asks for."""

    def run(*words, **choices):
        return runs_of(claim.name)(*(wrong.get(word, word) for word in words), **choices)

    return run


def test_every_claim_has_its_control():
    assert sorted([*WRONG_WORDS, *WRONG_NUMBERS]) == sorted(claims())


@pytest.mark.parametrize("name", claims())
def test_a_control_changes_something_of_its_claim(name):
    module = import_module(f"gradlab.reproductions.{name}")
    source = Path(module.__file__).read_text("utf-8")
    assert all(f'"{word}"' in source for word in WRONG_WORDS.get(name, {}))
    assert all(hasattr(module, constant) for constant in WRONG_NUMBERS.get(name, {}))
