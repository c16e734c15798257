"""A recipe's name, digest, numbers and structure: what makes two runs the same run, or the same program."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gradlab.engine.checks import check
from gradlab.recipe.recipe import (
    BOUNDS,
    NOT_IN_DIGEST,
    Every,
    LossScale,
    Recipe,
    Stop,
    changed_meanings,
    flat,
    folder_name,
    numbers,
    plain,
    structure,
)
from tests.recipes import recipe

PLAIN = recipe()
RICH = recipe("clip=norm", "activation=leaky_relu", "normalization=batch", "optimizer=adam", "penalty=l2")
OTHER = {  # another value of every root key
    "depth": 3,
    "width": 9,
    "steps": 7,
    "batch_size": 5,
    "accumulate": 2,
    "lr": 0.3,
    "lr_factors": {"input/*": 0.5},
    "freeze": ("input/*",),
    "dropout": 0.5,
    "dropout_kind": "alpha",
    "seed": 4,
    "seeds": 2,
    "dtype": "float64",
    "loss_scale": LossScale("dynamic", 1024.0, 100),
    "remat": True,
    "log": Every(3),
    "eval": Every(9),
    "stop": Stop(3, 0.0),
    "on_nonfinite": "raise",
    "device": "cpu",
    "study": "mine",
    "outputs": "elsewhere",
    "force": True,
    "quiet": True,
}


def digest(one) -> str:
    return folder_name(one).rpartition("-")[2]


def test_a_digest_does_not_see_the_order_of_keys():
    turned = {
        key: dict(reversed(value.items())) for key, value in plain(RICH).items() if isinstance(value, dict)
    }
    turned |= {key: getattr(RICH, key) for key in ("log", "eval", "stop", "loss_scale")}
    assert digest(replace(RICH, **turned)) == digest(RICH)


def test_one_and_one_point_zero_are_the_same_recipe():
    assert recipe("lr=1", "clip=norm", "clip.threshold=1") == recipe(
        "lr=1.0", "clip=norm", "clip.threshold=1.0"
    )
    assert digest(recipe("lr=1")) == digest(recipe("lr=1.0")) == digest(recipe("lr=1e0"))


@pytest.mark.parametrize("key", OTHER)
def test_a_digest_sees_every_root_key_but_those_aside(key):
    assert {name.partition(".")[0] for name in BOUNDS} == OTHER.keys()
    assert (digest(check(replace(PLAIN, **{key: OTHER[key]}))) == digest(PLAIN)) == (key in NOT_IN_DIGEST)


@pytest.mark.few(2)
@pytest.mark.parametrize("key", [key for key, value in flat(plain(RICH)).items() if type(value) is float])
def test_a_digest_sees_every_number_of_a_part(key):
    assert digest(recipe("clip=norm", "activation=leaky_relu", "normalization=batch")) != digest(RICH)
    changed = recipe(
        "clip=norm",
        "activation=leaky_relu",
        "normalization=batch",
        "optimizer=adam",
        "penalty=l2",
        f"{key}={1.5 if key == 'clip.p' else 0.125}",
    )
    assert digest(changed) != digest(RICH)
    assert structure(changed) == (structure(RICH) if key != "dropout" else structure(changed))


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "words",
    [("clip=value",), ("clip=norm",), ("residual=plain",), ("probe=[forward]",), ("freeze=[input/*]",)],
)
def test_a_digest_and_a_structure_see_every_choice(words):
    assert digest(recipe(*words)) != digest(PLAIN)
    assert structure(recipe(*words)) != structure(PLAIN)


def test_numbers_and_structure_have_all_that_counts():
    given = flat(plain(RICH))
    apart = {
        "steps",
        "seed",
        "stop.patience",
        "stop.on",
        "clip.patience",
        "on_nonfinite",
        "freeze",  # a list, whose entries are structure
        *NOT_IN_DIGEST,
    }  # data of the program, and what it does not know
    assert numbers(RICH).keys() | dict(structure(RICH)).keys() == given.keys() - apart | {"lr_factors"}
    assert all(type(value) is float for value in numbers(RICH).values())
    assert not [key for key, value in structure(RICH) if type(value) is float]


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "words", [("seed=3",), ("steps=9",), ("lr=0.5",), ("study=mine",), ("on_nonfinite=raise",)]
)
def test_what_is_no_structure_shares_the_program(words):
    assert structure(recipe(*words)) == structure(PLAIN)


def test_numbers_in_lists_and_mappings_are_numbers_too():
    words = ("optimizer=phases", "lr_factors={input/*:0.5}", "schedule=milestones")
    found = numbers(recipe(*words))
    assert (found["optimizer.phases.0.lr"], found["lr_factors.input/*"]) == (0.001, 0.5)
    assert found["schedule.milestones.0"] == recipe(*words).schedule["milestones"][0]
    other = recipe("optimizer=phases", "lr_factors={input/*:0.2}", "schedule=milestones")
    assert structure(other) == structure(recipe(*words)) != structure(recipe(*words[::2]))


def test_the_order_of_factors_counts():
    one, two = (
        recipe(f"lr_factors={{{words}}}")
        for words in ("hidden*:0.0,*/kernel:1.0", "*/kernel:1.0,hidden*:0.0")
    )
    assert digest(one) != digest(two)
    assert structure(one) != structure(two)


def test_dropout_is_there_or_not():
    assert structure(recipe("dropout=0.1")) == structure(recipe("dropout=0.9")) != structure(PLAIN)


def test_a_folder_s_name_says_what_is_not_usual():
    assert folder_name(PLAIN).startswith("mlp-d20-tanh-orthogonal-")
    unusual = "normalization_batch-optimizer_adam-clip_norm-"
    assert folder_name(RICH).startswith(f"mlp-d20-leaky_relu-orthogonal-{unusual}")
    assert len(folder_name(RICH)) <= 90


@pytest.mark.parametrize(
    "stop", [Stop(3, 0.0), Stop(0, 0.5), Stop(0, 0.0, tolerance=0.1), Stop(0, 0.0, on=("diverged",))]
)
def test_a_digest_sees_each_rule_of_stopping(stop):
    assert digest(check(replace(PLAIN, stop=stop))) != digest(PLAIN)
    assert structure(replace(PLAIN, stop=stop)) == structure(PLAIN)


def test_a_digest_sees_the_patience_of_a_clip():
    skipping = recipe("clip=skip")
    patient = recipe("clip=skip", "clip.patience=3")
    assert digest(patient) != digest(skipping)
    assert structure(patient) == structure(skipping)


@given(st.text(max_size=200))
def test_a_folder_s_name_is_short_and_plain_whatever_a_part_is_called(name):
    made = folder_name(replace(PLAIN, activation={"name": name}))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,90}", made)
    assert not made.startswith(".")


@pytest.mark.parametrize("name", ["linear", "polynomial", "cosine"])
def test_a_part_that_computes_other_numbers_than_before_gets_another_folder(name):
    one = recipe(f"schedule={name}")
    assert folder_name(one) != folder_name(one, before=True)
    assert changed_meanings(one) == {f"schedule={name}": 2}


def test_a_recipe_whose_parts_mean_what_they_did_keeps_its_folder():
    """The names of folders of version 0.3.0."""
    golden = Path(__file__).parent / "store" / "golden"
    for run in ("schema3_mlp", "schema3_lstm"):
        name = json.loads((golden / run / "status.json").read_text())["name"]
        values = yaml.safe_load((golden / run / "recipe.yaml").read_text())
        nested = {
            "log": Every(**values["log"]),
            "eval": Every(**values["eval"]),
            "stop": Stop(**values["stop"]),
        }
        nested["loss_scale"] = LossScale("none", 32768.0, 2000)
        snapshots = {"recurrent_spectrum": {"name": "recurrent_spectrum"}}
        later = {"snapshots": snapshots, "freeze": (), "dropout_kind": "plain"}
        one = Recipe(**{**later, **values, **nested})
        assert folder_name(one) == folder_name(one, before=True) == name
