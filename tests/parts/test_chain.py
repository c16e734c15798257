"""Several clips in a row: what the record says of each, what bounds the norm, and which chains are refused."""

import math

import numpy as np
import pytest

from gradlab.analysis.clip_limits import always_acts, clip_columns, drops, norm_threshold, patience
from gradlab.parts.clips.contract import clip
from gradlab.recipe.errors import RecipeError

PLAIN = {"thresholds": {}, "warmup": 0.0, "warmup_from": 10.0}
LINKS = {
    "value": {"name": "value", "threshold": 3.0, "low": "auto", "high": "auto", **PLAIN},
    "tensor_norm": {"name": "tensor_norm", "threshold": 5.0, **PLAIN},
    "norm": {"name": "norm", "threshold": 2.5, "p": 2.0, **PLAIN},
    "norm_1": {"name": "norm", "threshold": 2.5, "p": 1.0, **PLAIN},
    "normalize": {"name": "normalize", "threshold": 7.0, **PLAIN},
    "skip": {"name": "skip", "threshold": 4.0, "patience": 6, **PLAIN},
    "late": {"name": "norm", "threshold": 2.5, "p": 2.0, **PLAIN, "warmup": 10.0},
    "autoclip": {"name": "autoclip", "percentile": 10.0, "window": 4},
}


def part(*names):
    return {"name": "chain", "clips": {name: LINKS[name] for name in names}, "where": "gradient"}


def apply(names, **grads):
    made, trees = (
        clip.make(clip.check(part(*names))),
        {path: np.array(g, np.float32) for path, g in grads.items()},
    )
    after, _, record = made.apply(trees, made.init(trees), trees, dict.fromkeys(trees, 0))
    return after, {key: float(value) for key, value in record.items()}


def test_each_clip_acts_on_what_the_one_before_left():
    after, record = apply(("value", "norm"), a=[3.0, 4.0], b=[0.0, 0.0])  # (3, 3), then to a norm of 2.5
    np.testing.assert_allclose(after["a"], np.array([3.0, 3.0]) * 2.5 / math.sqrt(18), rtol=1e-6)
    assert record == {"clipped": (1 / 4 + 1) / 2, "clipped_value": 1 / 4, "clipped_norm": 1.0}
    other, _ = apply(("norm", "value"), a=[3.0, 4.0], b=[0.0, 0.0])  # to (1.5, 2): no entry is above 3
    np.testing.assert_allclose(other["a"], [1.5, 2.0], rtol=1e-6)


def test_a_drop_is_a_drop_of_the_whole_chain_and_nothing_else_looks_like_one():
    _, kept = apply(("norm", "skip"), a=[3.0, 4.0])  # the norm is 2.5 where skip sees it
    assert kept == {"clipped": 0.5, "clipped_norm": 1.0, "clipped_skip": 0.0, "skip": 0.0}
    _, dropped = apply(("value", "skip"), a=[3.0, 4.0])  # √18
    assert dropped == {"clipped": 1.0, "clipped_value": 0.5, "clipped_skip": 1.0, "skip": 1.0}


@pytest.mark.parametrize(
    ("names", "bound"),
    [
        (("value", "norm"), 2.5),
        (("norm", "value"), 2.5),
        (("tensor_norm", "value"), None),
        (("value", "norm_1"), None),
        (("norm", "normalize"), 7.0),
        (("normalize", "skip"), 4.0),
        (("norm", "autoclip"), None),  # a user's clip or one with a history may do anything
        (("value", "late"), None),
    ],
)
def test_what_bounds_the_norm_behind_a_chain(names, bound):
    assert norm_threshold(part(*names)) == bound


def test_the_recipe_tells_what_a_chain_may_do():
    assert drops(part("norm", "skip"))
    assert not drops(part("norm", "value"))
    assert patience(part("norm", "skip")) == 6
    assert patience(part("norm", "value")) == 0
    assert always_acts(part("value", "normalize"))
    assert not always_acts(part("value", "norm"))
    assert clip_columns(part("value", "norm")) == {"value": "clipped_value", "norm": "clipped_norm"}
    assert clip_columns(LINKS["norm"]) == {}


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ({"norm": LINKS["norm"]}, "must be two clips or more"),
        ({"norm": LINKS["norm"], "none": {"name": "none"}}, "clip=none cannot be one of several"),
        ({"norm": LINKS["norm"], "b": part("norm", "value")}, "clip=chain cannot be one of several"),
        ({"norm": LINKS["norm"], "b": {"name": "per_example"}}, "clip=per_example cannot be one of several"),
        ({"norm": LINKS["norm"], "Big one": LINKS["value"]}, "'Big one' cannot be the name of a column"),
        ({"norm": LINKS["norm"], "value": 3}, "clip.clips.value=3 must be a clip with its name"),
        ({"norm": LINKS["norm"], "b": {**LINKS["value"], "where": "update"}}, "set clip.where"),
        (
            {"norm": LINKS["norm"], "b": {**LINKS["value"], "threshold": 0.0}},
            "clip.clips.b.threshold=0.0 must be",
        ),
    ],
)
def test_a_chain_that_makes_no_sense_is_refused(clips, message):
    with pytest.raises(RecipeError) as error:
        clip.check({"name": "chain", "clips": clips, "where": "gradient"})
    assert message in str(error.value)


@pytest.mark.parametrize(
    "values", [LINKS["norm"] | {"where": "update"}, part("value", "norm") | {"where": "update"}]
)
def test_a_clip_that_is_bound_to_a_network_keeps_its_place(values):
    assert clip.make(clip.check(values)).bind({}).where == "update"
