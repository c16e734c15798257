"""The signal probes on arrays chosen by hand: sizes, ranks and ranges where a careless formula fails."""

from functools import lru_cache

import jax
import numpy as np
import pytest

from gradlab.engine import compiled as programs
from gradlab.engine.loop import load_run
from gradlab.engine.prepare import prepare
from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BlockSignal, probe
from gradlab.measurements.probing import checked
from gradlab.recipe.errors import RecipeError
from tests.measures import differences, likeness
from tests.recipes import TINY, recipe

rng = np.random.default_rng(0)


@lru_cache
def compiled(name, max_slope):
    return jax.jit(lambda h, slope: probe.make({"name": name})[0].signal(BlockSignal(h, slope, max_slope)))


def ask(name, h, slope=None, max_slope=None):
    slope = h if slope is None else slope
    found = compiled(name, max_slope)(np.asarray(h, np.float32), np.asarray(slope, np.float32))
    return {key: float(value) for key, value in found.items()}


@pytest.mark.few(2)
@pytest.mark.parametrize("power", [-36, -25, -12, 0, 12, 25, 36])
def test_a_forward_signal_is_right_over_the_whole_range(power):
    h = rng.uniform(1, 9, (12, 16)) * 10.0**power
    assert ask("forward", h)["log10_forward"] == pytest.approx(
        np.log10(np.sqrt(np.mean((h / 10.0**power) ** 2))) + power, abs=1e-5
    )


@pytest.mark.few(1)
@pytest.mark.parametrize("power", [-36, -25, -12, 0, 12, 25, 36])
def test_a_cosine_does_not_depend_on_the_size(power):
    h = rng.standard_normal((12, 16)) + 0.7
    h = np.where(np.abs(h) < 0.1, 0.1, h)  # all entries normal numbers
    assert ask("cosine", h * 10.0**power)["cosine"] == pytest.approx(likeness(h), abs=1e-5)


@pytest.mark.few(2)
@pytest.mark.parametrize("power", [-36, -12, 0, 12, 36])
@pytest.mark.parametrize("shape", [(12, 16), (16, 12), (8, 3, 3, 2)])
def test_a_rank_is_that_of_the_singular_values_whatever_the_size(power, shape):
    h = rng.standard_normal(shape) @ np.diag(np.geomspace(1, 0.05, shape[-1])) + 0.7
    found, expected = ask("rank", h * 10.0**power), differences(h)
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_ends_of_the_rank():
    one = rng.standard_normal((1, 16))
    same = ask("rank", np.repeat(one, 12, axis=0))
    assert (same["centred"], np.isnan(same["effective_rank"])) == (pytest.approx(0, abs=1e-12), True)
    two = ask("rank", np.concatenate([one, -one] * 6))
    assert two == pytest.approx({"centred": 1.0, "effective_rank": 1.0}, rel=1e-5)
    alike = ask("rank", np.eye(12, 12))
    assert alike["effective_rank"] == pytest.approx(11, rel=1e-5)  # one direction is the mean
    assert np.isnan(ask("rank", np.zeros((12, 16)))["centred"])
    # differences of 1e-4 are no rounding: their rank is right; of 1e-7 they are
    small = np.ones((12, 16)) + 1e-4 * rng.standard_normal((12, 16))
    assert ask("rank", small)["effective_rank"] == pytest.approx(
        differences(small)["effective_rank"], rel=0.02
    )
    assert np.isnan(ask("rank", np.ones((12, 16)) + 1e-7 * rng.standard_normal((12, 16)))["effective_rank"])


def test_a_cosine_weighs_small_and_large_examples_alike():
    h = rng.standard_normal((12, 16)) * 10.0 ** rng.uniform(-12, 12, (12, 1))
    assert ask("cosine", h)["cosine"] == pytest.approx(likeness(h), abs=1e-5)


def test_the_ends_of_the_cosine():
    one = rng.standard_normal((1, 16))
    assert ask("cosine", np.repeat(one, 12, axis=0))["cosine"] == pytest.approx(1, abs=1e-6)
    assert ask("cosine", np.eye(12, 16))["cosine"] == pytest.approx(0, abs=1e-7)
    assert ask("cosine", np.concatenate([one, -one] * 6))["cosine"] == pytest.approx(-1 / 11, abs=1e-6)
    assert ask("cosine", np.zeros((12, 16)))["cosine"] == 0
    assert np.isnan(ask("cosine", one)["cosine"])  # one example has no pair


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("middle", "spread"), [(0, 1), (1e3, 1e-2), (-5e4, 1.0), (0, 1e-15), (1e10, 1e5), (0, 1e16)]
)
def test_moments_do_not_cancel(middle, spread):
    h = (middle + spread * rng.standard_normal((12, 16))).astype(np.float32)
    exact = h.astype(np.float64)
    found = ask("moments", h)
    assert found["mean"] == pytest.approx(exact.mean(), abs=1e-5 * spread + 2e-7 * abs(middle))
    assert found["var"] == pytest.approx(exact.var(), rel=1e-4)


@pytest.mark.few(2)
@pytest.mark.parametrize("power", [16, 17, 18, 20, 30])
def test_a_variance_out_of_range_is_infinite_and_never_zero_or_nan(power):
    h = rng.standard_normal((12, 16)) * 10.0**power
    found = ask("moments", h)["var"]
    assert found == pytest.approx(h.var(), rel=1e-4) or found == np.inf
    assert power > 17 or found < np.inf


def test_a_constant_signal_has_no_variance():
    assert ask("moments", np.full((12, 16), 0.1)) == {"mean": pytest.approx(0.1), "var": 0}


def test_saturation_is_below_a_twentieth_of_the_steepest_slope():
    slope = np.array([[0.0, 0.01, 0.049], [0.0, 0.051, -0.2], [0.0, -0.03, 1.0], [0.0, 0.9, 0.5]])
    found = ask("saturation", slope, slope, max_slope=1.0)
    assert found == {"saturated": pytest.approx(7 / 12), "dead": pytest.approx(1 / 3)}
    assert ask("saturation", slope, slope)["saturated"] == 0  # without a steepest slope nothing saturates


KINDS = {"forward": "signal", "backward": "backward", "update": "update"}  # a probe of each kind


@pytest.mark.few(1)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("change", ["another name", "one more", "none"])
def test_a_probe_that_returns_other_columns_than_it_declares_is_an_error_when_traced(
    monkeypatch, name, change
):
    (made,) = probe.make({"name": name})
    kind, first = KINDS[name], made.columns[0].name

    def changed(signal):
        returned = dict(getattr(made, kind)(signal))
        value = returned[first] if change == "one more" else returned.pop(first)
        return returned if change == "none" else returned | {"angle": value}

    monkeypatch.setitem(probe.makers, name, lambda: made._replace(**{kind: changed}))
    run_recipe = recipe(*TINY, f"probe=[{name}]")
    run = load_run(prepare(run_recipe))
    with pytest.raises(
        RecipeError,
        match=f"declares the columns {', '.join(column.name for column in made.columns)} and returns ",
    ):
        programs.trace(run.recipe, run.numbers, run.data, run.task.form)


def test_what_a_probe_returns_is_taken_by_name():
    two = (Column("mean", "a mean"), Column("var", "a variance"))
    assert list(checked(two, {"var": 2, "mean": 1}, lambda column, value: True).items()) == [
        ("mean", 1),
        ("var", 2),
    ]
