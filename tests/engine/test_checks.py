"""What a recipe may be: each value of its kind and within its bounds, or one line that says what to do."""

import math
from dataclasses import replace

import pytest

from gradlab.engine.checks import check
from gradlab.engine.families import FAMILIES
from gradlab.engine.tasks import load_task
from gradlab.measurements.probe import probe
from gradlab.recipe.bounds import Bound, Many
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import BOUNDS, Every, Stop, flat, plain
from tests.recipes import recipe

PLAIN = recipe()
LATER = {"thresholds": {}, "warmup": 0.0, "warmup_from": 10.0}
NORM = {"name": "norm", "threshold": 1.0, "p": 2.0, "where": "gradient", **LATER}
BAD = [  # key, value, what the message must say
    ("depth", 0, "depth=0 must be a whole number from 1"),
    ("depth", -1, "depth=-1 must be a whole number from 1"),
    ("depth", "abc", "depth=abc must be a whole number"),
    ("depth", 2.5, "depth=2.5 must be a whole number"),
    ("depth", True, "depth=True must be a whole number"),
    ("depth", None, "depth=None must be a whole number"),
    ("width", 0, "width=0"),
    ("steps", -1, "steps=-1 must be a whole number from 0"),
    ("batch_size", -1, "batch_size=-1"),
    ("accumulate", 0, "accumulate=0"),
    ("accumulate", 3, "batch_size=128 cannot be cut into accumulate=3 equal parts"),
    ("lr_factors", {"input/*": -0.5}, "lr_factors.input/*=-0.5 must be a number from 0"),
    ("lr_factors", 0.5, "lr_factors=0.5 must be a mapping"),
    ("stop", Stop(-1, 0.0), "stop.patience=-1"),
    ("stop", Stop(0, math.nan), "stop.loss=nan"),
    ("optimizer", {"name": "gd"}, "optimizer=gd takes all examples at once, got batch_size=128"),
    ("lr", {"a": 1}, "lr={'a': 1} must be a number above 0"),
    ("lr", "abc", "lr=abc must be a number above 0"),
    ("lr", -1, "lr=-1.0 must be a number above 0"),
    ("lr", 0.0, "lr=0.0 must be a number above 0"),
    ("lr", math.nan, "lr=nan must be a number above 0"),
    ("lr", math.inf, "lr=inf must be a number above 0"),
    ("dropout", 1.0, "dropout=1.0 must be a number from 0 below 1"),
    ("seeds", 0, "seeds=0"),
    ("seed", -1, "seed=-1"),
    ("seed", 2**31, f"seed={2**31}"),  # a seed is a column of int32
    ("steps", 2**31, f"steps={2**31}"),
    ("log", Every(0), "log.every=0"),
    ("eval", Every(-3), "eval.every=-3"),
    ("dtype", "float8", "dtype=float8 is not known; did you mean"),
    ("device", "gpuu", "did you mean 'gpu'"),
    ("on_nonfinite", "stopp", "did you mean 'stop'"),
    ("remat", "yes", "remat=yes must be true or false"),
    ("clip", NORM | {"threshold": 0}, "clip.threshold=0.0 must be a number above 0"),
    ("clip", NORM | {"threshold": math.nan}, "clip.threshold=nan"),
    (
        "clip",
        {"name": "norm", "p": 2.0, "where": "update", **LATER},
        "clip=norm needs clip.threshold: a number above 0",
    ),
    ("clip", {"name": "none", "threshold": 1.0}, "clip=none has no option 'clip.threshold'"),
    ("clip", {"name": "norm", "p": 2.0, "where": "update", "treshold": 1.0}, "did you mean 'clip.threshold'"),
    ("clip", {"name": "norms", "threshold": 1.0}, "clip=norms is not known; did you mean 'norm'"),
    ("activation", {"name": "rleu"}, "did you mean 'relu'"),
    ("activation", {}, "activation= is not known"),
    ("normalization", {"name": "layer", "place": "befor", "epsilon": 1e-5}, "did you mean 'before'"),
    ("data", {"name": "digits", "seed": 0, "test_fraction": 1.0}, "data.test_fraction=1.0"),
    ("data", {"name": "digits", "seed": 0.5, "test_fraction": 0.2}, "data.seed=0.5"),
    ("probes", {"forward": {"name": "forwards"}}, "did you mean 'forward'"),
]


@pytest.mark.parametrize(("key", "value", "told"), BAD, ids=lambda one: str(one)[:30])
def test_a_bad_value_is_told_in_one_line(key, value, told):
    with pytest.raises(RecipeError) as caught:
        check(replace(PLAIN, **{key: value}))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_seeds_do_not_run_out_of_their_column():
    with pytest.raises(RecipeError, match="seed"):
        check(replace(PLAIN, seed=2**31 - 2, seeds=3))


def test_a_checked_recipe_stays_what_it_is():
    assert check(PLAIN) == PLAIN


def test_whole_numbers_given_for_floats_become_floats():
    made = check(replace(PLAIN, lr=1, clip=NORM | {"threshold": 2}))
    assert (made.lr, made.clip["threshold"]) == (1.0, 2.0)
    assert type(made.lr) is type(made.clip["threshold"]) is float


def test_a_batch_larger_than_the_training_part_is_refused():
    size = len(load_task(PLAIN).train_y)
    assert load_task(replace(PLAIN, batch_size=size))
    with pytest.raises(RecipeError, match=f"batch_size={size + 1} is larger .* {size} examples"):
        load_task(replace(PLAIN, batch_size=size + 1))


@pytest.mark.parametrize("fraction", [1e-9, 0.9999999])
def test_a_split_without_training_or_test_examples_is_refused(fraction):
    with pytest.raises(RecipeError, match=r"test_fraction|batch_size"):
        load_task(replace(PLAIN, data=PLAIN.data | {"test_fraction": fraction}, batch_size=1797))


DECLARED = [
    (f"{family.name}.{key}", bound)
    for family in [*FAMILIES.values(), probe]
    for name in family.makers
    for key, bound in family.parameters(name).items()
]


@pytest.mark.parametrize(("key", "bound"), DECLARED, ids=lambda one: one if isinstance(one, str) else "")
def test_every_parameter_refuses_what_is_not_finite_or_not_its_kind(key, bound: Bound):
    wrong = [math.nan, math.inf, "abc", None, {}, [] if not isinstance(bound, Many) else [math.nan]]
    if isinstance(bound, Bound) and not bound.finite:
        wrong.remove(math.inf)
    if isinstance(bound, Bound) and bound.value_type is str and not bound.among:
        wrong.remove("abc")
    if isinstance(bound, Many) and bound.named:
        wrong[wrong.index({})] = {"hidden */*": math.nan}
    for value in wrong:
        with pytest.raises(RecipeError, match=key):
            bound.check(key, value)


def test_every_root_key_is_checked():
    for key in BOUNDS:
        head, _, tail = key.partition(".")
        wrong = (
            replace(getattr(PLAIN, head), **{tail: "x"})
            if tail
            else ("x", 3)
            if key == "freeze"
            else object()
        )
        with pytest.raises(RecipeError, match=key):
            check(replace(PLAIN, **{head: wrong}))
    assert BOUNDS.keys() - {"lr_factors"} <= flat(plain(PLAIN)).keys()


@pytest.mark.parametrize(("value", "told"), [(1e300, "is infinite in float32"), (1e-300, "is 0 in float32")])
def test_a_number_that_float32_does_not_have_is_refused(value, told):
    clip = {**recipe("clip=norm").clip, "threshold": value}
    with pytest.raises(RecipeError, match=told):
        check(replace(PLAIN, clip=clip))
    assert check(replace(PLAIN, clip=clip, dtype="float64"))
    assert check(replace(PLAIN, clip={**clip, "threshold": value**0.1}))  # 1e30 and 1e-30 it has
