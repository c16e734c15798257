"""Clips: each against its formula at any size, and the properties that users rely on."""

import json
import math
from functools import lru_cache

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from omegaconf import OmegaConf

from gradlab.analysis.clip_limits import norm_threshold
from gradlab.parts.clips.contract import clip
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF
from tests import rules
from tests.measures import length

SHAPES = {  # a stack of three layers, and single ones
    "hidden/linear/bias": (3, 5),
    "hidden/linear/kernel": (3, 4, 5),
    "input/conv/kernel": (3, 3, 2, 4),
    "input/linear/kernel": (4, 5),
    "output/linear/bias": (4,),
}
STACKED_AXES = {path: int(path.startswith("hidden/")) for path in SHAPES}
ROWS = {  # the names of each block's layers; a and b are those of the generated trees
    "hidden": ["hidden 1", "hidden 2", "hidden 3"],
    "input": ["input"],
    "output": ["output"],
    "a": ["a 1", "a 2"],
    "b": ["b"],
}
PATTERNS = {"hidden *": 4.5, "hidden 2/*": 2.5, "*/bias": 0.6}
# every maker, with numbers (for gradients of size 1) at which it acts on some entries and not on others
CASES = {
    "none": [{}],
    "value": [
        {"threshold": 0.7},
        {"low": -0.2, "high": 0.9},
        {"threshold": 0.5, "low": -1.25},
        {"thresholds": PATTERNS, "warmup": 7.0},
    ],
    "norm": [
        {"threshold": 11.0},
        {"threshold": 8.0, "thresholds": PATTERNS},
        {"threshold": 11.0, "warmup": 6.5, "warmup_from": 1.5},
        {"threshold": 11.0, "warmup": 7.0, "warmup_from": math.inf},
        {"p": 1.0, "threshold": 130.0},
        {"p": math.inf, "threshold": 3.0},
        {"p": 3.5, "threshold": 6.0},
    ],
    "layer_norm": [{"threshold": 5.0}, {"threshold": 5.0, "thresholds": PATTERNS}],
    "tensor_norm": [{"threshold": 4.0}, {"threshold": 4.0, "thresholds": PATTERNS, "warmup": 4.0}],
    "agc": [
        {"threshold": 0.9, "eps": 2.0},
        {"threshold": 0.9, "eps": 2.0, "thresholds": {"hidden 2/*": 0.5}},
    ],
    "block_rms": [{"threshold": 0.95}, {"threshold": 0.95, "thresholds": {"hidden [23]/*": 0.7}}],
    "autoclip": [{"percentile": 10.0, "window": 6}, {"percentile": 62.5}, {"percentile": 100.0, "window": 2}],
    "zscore": [{"warmup": 5, "threshold": 1.0}, {"warmup": 1, "threshold": 0.5, "alpha": 0.6}],
    "normalize": [{"threshold": 0.5}, {"threshold": 0.5, "thresholds": {"hidden 1/*": 3.0}, "warmup": 5.0}],
    "skip": [{"threshold": 11.0}, {"threshold": 11.0, "thresholds": {"*/bias": 5.0}}],
    "zero": [{"threshold": 1.3}, {"threshold": 1.3, "thresholds": {"input/*": 0.4}}],
    "per_example": [{"threshold": 11.0}],
    "chain": [
        {"clips": {"tensor_norm": {"threshold": 4.0}, "norm": {"threshold": 9.0}}},
        {
            "clips": {
                "value": {"threshold": 1.5, "warmup": 3.0},
                "autoclip": {"percentile": 60.0, "window": 6},
            }
        },
        {
            "clips": {
                "norm": {"threshold": 10.0},
                "agc": {"threshold": 0.9, "eps": 2.0},
                "skip": {"threshold": 99.0},
            }
        },
    ],
}
TABLE = [(name, changes) for name, variants in CASES.items() for changes in variants]
STRUCTURAL_FLOATS = ("threshold", "low", "high", "eps")  # the numbers that grow with the gradient
UNSIZED = ("agc", "zscore")  # whose thresholds are ratios
quick = settings(max_examples=40)


def test_every_maker_is_in_the_table():
    assert CASES.keys() == clip.makers.keys()


@pytest.mark.parametrize("path", sorted(CONF.glob("clip/*.yaml")), ids=lambda path: path.stem)
def test_a_file_says_what_it_does_and_where(path):
    text = path.read_text("utf-8")
    assert text.startswith("# ")
    assert path.stem == "none" or text.endswith("\nwhere: gradient\n")


def part(name, size=1.0, **changes):
    """The shipped option with changes, all numbers rounded to float32; `size` is the gradient's."""
    return clip.check(shipped(name, size, changes))


def shipped(name, size, changes):
    """The values of a part before they are checked, the clips of a chain among them."""
    options = OmegaConf.to_container(OmegaConf.load(CONF / "clip" / f"{name}.yaml")) | changes
    sized = lambda key: not (key.startswith("threshold") and name in UNSIZED)
    for key in STRUCTURAL_FLOATS:
        if isinstance(options.get(key), float) and sized(key):
            options[key] = float(np.float32(options[key] * size))
    scale = size if sized("thresholds") else 1.0
    for pattern, number in options.get("thresholds", {}).items():
        options["thresholds"] = options["thresholds"] | {pattern: float(np.float32(number * scale))}
    if name == "chain":
        links = {link: shipped(link, size, values) for link, values in options["clips"].items()}
        options["clips"] = {
            link: {key: value for key, value in values.items() if key != "where"}
            for link, values in links.items()
        }
    return options


def gradients(steps=20, size=1.0):
    """Gradients that differ from step to step in size and direction, a spike among them."""
    random = np.random.default_rng(1)
    sizes = np.exp(0.3 * random.standard_normal(steps)) * np.where(np.arange(steps) == 13, 20.0, 1.0)
    return [
        {
            path: (size * k * random.standard_normal(shape)).astype(np.float32)
            for path, shape in SHAPES.items()
        }
        for k in sizes
    ]


def floats(options):
    """The floats of a part in the order of its keys, through mappings."""
    if isinstance(options, dict):
        return [number for value in options.values() for number in floats(value)]
    return [options] if isinstance(options, float) else []


def filled(options, numbers):
    """The part with the next `numbers` in the place of its floats; anything in the place of a float is a number."""
    if isinstance(options, dict):
        return {key: filled(value, numbers) for key, value in options.items()}
    return next(numbers) if isinstance(options, float) else options


def rule(options):
    """The clip of a part, for the network of ROWS."""
    made = clip.make(options)
    return made.bind(ROWS) if made.bind else made


@lru_cache
def compiled(structure):
    """One structure's rule, as JSON; its numbers are arguments, as in training."""
    words = json.loads(structure)

    def apply(numbers, grads, state, params, stacked_axes):
        return rule(filled(words, iter(numbers))).apply(grads, state, params, dict(stacked_axes))

    return jax.jit(apply, static_argnums=4)


def applied(options, steps, params=None, stacked_axes=STACKED_AXES):
    """(gradient, record) of each step, in float64."""
    numbers = [np.float32(number) for number in floats(options)]
    apply = compiled(json.dumps(filled(options, iter([0.5] * len(numbers)))))
    state, results = rule(options).init(steps[0]), []
    for grads in steps:
        after, state, record = apply(numbers, grads, state, params or grads, tuple(stacked_axes.items()))
        results.append((wide(after), {key: np.asarray(value) for key, value in record.items()}))
    return results


def wide(tree):
    return {key: np.asarray(value, np.float64) for key, value in tree.items()}


def flat(tree):
    return np.concatenate([np.ravel(tree[key]) for key in sorted(tree)]).astype(np.float64)


@pytest.mark.few(3)
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize(("name", "changes"), TABLE)
def test_a_clip_is_its_formula_at_any_size(name, changes, size):
    options, steps = part(name, size, **changes), gradients(size=size)
    params, past = gradients(1, 3 * size)[0], []
    for grads, (after, record) in zip(steps, applied(options, steps, params), strict=True):
        expected = rules.clip(options, wide(grads), wide(params), STACKED_AXES, past)
        np.testing.assert_allclose(flat(after), flat(expected), rtol=2e-5, err_msg=f"step {len(past)}")
        if name not in ("skip", "chain"):
            changed = np.abs(flat(expected) / flat(grads) - 1) > 1e-6
            assert record["clipped"] == pytest.approx(changed.mean(), abs=1e-6)
        past.append(wide(grads))


@pytest.mark.few(3)
@pytest.mark.parametrize(("name", "changes"), TABLE)
def test_a_clip_of_the_table_acts_at_times_and_not_always(name, changes):
    acted = np.mean([record["clipped"] for _, record in applied(part(name, **changes), gradients())])
    never = name == "none" or changes.get("percentile") == 100
    assert acted == 0 if never else acted == 1 if name == "normalize" else 0 < acted < 1


@pytest.mark.few(1)
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_skip_drops_what_is_above_its_threshold(size):
    steps = gradients(size=size)
    for grads, (after, record) in zip(steps, applied(part("skip", size, threshold=11.0), steps), strict=True):
        assert record["skip"] == (length(*grads.values()) > 11.0 * size)
        np.testing.assert_array_equal(flat(after), flat(grads))


@pytest.mark.few(3)
@pytest.mark.parametrize(("name", "changes"), TABLE)
def test_a_clip_with_a_norm_threshold_bounds_the_norm_and_no_other_does(name, changes):
    options = part(name, **changes)
    results, threshold = applied(options, gradients()), norm_threshold(options)
    largest = max(length(*after.values()) for after, record in results if not record.get("skip", False))
    if threshold is None:
        # ‖g‖₂ ≤ ‖g‖₁: a bound on the one is a bound on the other, though not the smallest
        assert largest > options.get("threshold", 0.0) or changes.get("p") == 1.0
    else:
        assert largest <= threshold * (1 + 1e-6)


@pytest.mark.slow
def test_the_skip_of_a_zscore_drops_what_it_would_have_clipped():
    steps, numbers = gradients(), {"warmup": 5, "threshold": 1.0}
    acted = [record["clipped"] for _, record in applied(part("zscore", **numbers), steps)]
    results = applied(part("zscore", **numbers, skip=True), steps)
    assert [record["skip"] for _, record in results] == [fraction == 1 for fraction in acted]
    np.testing.assert_array_equal(flat(results[13][0]), flat(steps[13]))


@pytest.mark.few(3)
@pytest.mark.parametrize(("name", "changes"), TABLE)
def test_a_zero_gradient_stays_zero(name, changes):
    steps = [{path: np.zeros(shape, np.float32) for path, shape in SHAPES.items()}] * 8
    for after, record in applied(part(name, **changes), steps):
        assert (flat(after) == 0).all()
        assert record["clipped"] == 0
        assert not record.get("skip", False)


@pytest.mark.few(1)
@pytest.mark.parametrize(("name", "changes"), [case for case in TABLE if case[0] in ("autoclip", "zscore")])
def test_after_gradients_of_zeros_another_gradient_is_not_made_zero(name, changes):
    steps = [{path: np.zeros(shape, np.float32) for path, shape in SHAPES.items()}] * 12 + gradients(4, 1e-30)
    assert all((flat(after) != 0).all() for after, _ in applied(part(name, **changes), steps)[12:])


@pytest.mark.few(4)
@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(("name", "changes"), TABLE)
def test_a_broken_gradient_is_neither_hidden_nor_remembered(name, changes, bad):
    steps = gradients(12)
    broken = {path: g.copy() for path, g in steps[0].items()}
    broken["input/linear/kernel"][1, 2] = bad
    results = applied(part(name, **changes), [*steps[:8], broken, *steps[8:]], steps[0])
    without = applied(part(name, **changes), steps, steps[0])
    bad_entry = results[8][0]["input/linear/kernel"][1, 2]
    assert bad_entry == bad or (math.isnan(bad_entry) and math.isnan(bad))
    others = flat(results[8][0])
    assert (others[np.isfinite(others)] != 0).all() or name == "zero"
    assert results[8][1].get("skip", True)
    for (first, _), (second, _) in zip(results[9:], without[8:], strict=True):
        np.testing.assert_array_equal(flat(first), flat(second))


entry = st.integers(-8000, 8000).map(lambda n: n / 8)  # with any power below: zero or a normal float32
some = st.fixed_dictionaries(
    {"a/x": arrays(np.float32, (2, 3), elements=entry), "b/x": arrays(np.float32, 4, elements=entry)}
)
thresholds = st.integers(1, 8000).map(lambda n: n / 64)
powers = st.sampled_from([-30, -20, -10, 0, 10, 20, 30])
orders = st.sampled_from([1.0, 1.5, 2.0, 7.0, 100.0, math.inf])
BOUNDING = ("norm", "layer_norm", "tensor_norm", "block_rms", "value", "zero", "skip")


def clipped(grads, name, **changes):
    after, record = applied(part(name, **changes), [grads], stacked_axes={"a/x": 1, "b/x": 0})[0]
    return after, float(record["clipped"])


def times(grads, power):
    return {key: (value.astype(np.float64) * 10.0**power).astype(np.float32) for key, value in grads.items()}


@pytest.mark.slow
@quick
@given(some, thresholds, powers)
def test_a_value_clip_bounds_each_entry_and_keeps_signs(grads, threshold, power):
    grads = times(grads, power)
    after, fraction = clipped(grads, "value", threshold=threshold)
    before, after = flat(grads), flat(after)
    assert (np.abs(after) <= threshold).all()
    assert (np.sign(after) == np.sign(before)).all()
    assert fraction == pytest.approx((before != after).mean(), abs=1e-6)


@pytest.mark.slow
@quick
@given(some, thresholds, powers, orders)
def test_a_norm_clip_bounds_the_norm_and_keeps_the_direction(grads, threshold, power, p):
    grads = times(grads, power)
    after, fraction = clipped(grads, "norm", threshold=threshold, p=p)
    before, after = wide(grads), wide(after)
    total_norm = rules.order_norm(p, before)
    assert rules.order_norm(p, after) <= threshold * (1 + 1e-5)
    assert fraction == (total_norm > threshold) or total_norm == pytest.approx(threshold, rel=1e-5)
    if total_norm > 0:
        straight = length(*before.values()) * length(*after.values())
        assert flat(before) @ flat(after) >= (1 - 1e-6) * straight


@pytest.mark.slow
@quick
@given(some, powers, st.sampled_from(BOUNDING))
def test_a_clip_above_all_norms_changes_no_bit(grads, power, name):
    grads = times(grads, power)
    after, fraction = clipped(grads, name, threshold=min(1.01 * length(*grads.values()) + 1e-37, 3e38))
    assert fraction == 0
    np.testing.assert_array_equal(flat(after), flat(grads))


@pytest.mark.slow
@quick
@given(some, thresholds, powers)
def test_a_normalized_gradient_has_the_norm_threshold_and_its_direction(grads, threshold, power):
    grads = times(grads, power)
    after, _ = clipped(grads, "normalize", threshold=threshold)
    before, after = flat(grads), flat(after)
    assert length(after) == pytest.approx(threshold if before.any() else 0.0, rel=1e-5)
    assert before @ after >= (1 - 1e-6) * length(before) * length(after)


PEERS = {
    "value": lambda: optax.clip(0.7),
    "norm": lambda: optax.clip_by_global_norm(11.0),
    "agc": lambda: optax.adaptive_grad_clip(0.9, 2.0),
    "block_rms": lambda: optax.clip_by_block_rms(0.95),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_a_clip_is_optax_s(name):
    grads, params = gradients()[3], gradients(1, 3.0)[0]
    alone = {path: g for path, g in grads.items() if not STACKED_AXES[path]}
    weights = {path: params[path] for path in alone}
    peer = PEERS[name]()
    expected, _ = peer.update(alone, peer.init(weights), weights)
    after = applied(part(name, **CASES[name][0]), [alone], weights, dict.fromkeys(alone, 0))[0][0]
    np.testing.assert_allclose(flat(after), flat(expected), rtol=2e-6)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
def test_a_norm_clip_is_pytorch_s_but_for_its_epsilon(p):
    torch = pytest.importorskip("torch")
    grads = gradients()[3]
    limit = 0.4 * rules.order_norm(p, wide(grads))
    tensors = [torch.zeros(g.shape, requires_grad=True) for g in grads.values()]
    for tensor, g in zip(tensors, grads.values(), strict=True):
        tensor.grad = torch.from_numpy(g.copy())
    total_norm = float(torch.nn.utils.clip_grad_norm_(tensors, limit, norm_type=p))
    after = applied(part("norm", threshold=limit, p=p), [grads])[0][0]
    for tensor, g in zip(tensors, after.values(), strict=True):
        np.testing.assert_allclose(tensor.grad.numpy() * (total_norm + 1e-6) / total_norm, g, rtol=3e-6)


def test_a_value_clip_is_pytorch_s():
    torch = pytest.importorskip("torch")
    grads = gradients()[3]
    after = applied(part("value", threshold=0.7), [grads])[0][0]
    for path, g in grads.items():
        tensor = torch.zeros(g.shape, requires_grad=True)
        tensor.grad = torch.from_numpy(g.copy())
        torch.nn.utils.clip_grad_value_([tensor], 0.7)
        np.testing.assert_array_equal(tensor.grad.numpy(), after[path].astype(np.float32))


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": 2.0, "high": -1.0}, "clip.low=2.0 and clip.high=-1.0: low must be below high"),
        (
            {"low": 2.0},
            "clip.low=2.0 and clip.high=auto (auto is ∓clip.threshold=1.0): low must be below high",
        ),
        ({"high": -1.5}, "low must be below high; give low ≤ 0 ≤ high"),
        ({"low": 0.0, "high": 0.0}, "low must be below high"),
        ({"low": 0.5}, "leave out 0"),
        ({"low": -2.0, "high": -1.0}, "leave out 0"),
        ({"high": "far"}, "clip.high=far must be a number or auto"),
    ],
)
def test_limits_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(RecipeError) as error:
        part("value", **changes)
    assert message in str(error.value)


def test_limits_that_make_sense_are_taken():
    assert part("value", low=-3.0, high=0.0)["high"] == 0.0
    assert part("norm", p=math.inf)["p"] == math.inf
    with pytest.raises(RecipeError, match=r"clip\.p=0.5 must be a number from 1"):
        part("norm", p=0.5)


def descend(slope, x, rate, steps, name="none", **changes):
    """Gradient descent on one number, every gradient through the clip."""
    made = clip.make(part(name, **changes))

    def step(x, _):
        grads, _, _ = made.apply({"x": slope(x)[None]}, made.init({"x": x[None]}), {}, {"x": 0})
        x = x - rate * grads["x"][0]
        return x, x

    return np.asarray(jax.lax.scan(step, np.float32(x), None, steps)[1])


def test_on_the_fourth_power_descent_diverges_and_clipped_descent_arrives():
    slope = lambda x: 4 * x**3
    free = descend(slope, 10.0, 0.01, 6)
    assert free[:2] == pytest.approx([-30.0, 1050.0])
    assert not np.isfinite(free).all()
    assert descend(slope, 10.0, 0.01, 2000, "norm", threshold=1.0)[-1] == pytest.approx(0.1067, abs=1e-4)


def test_a_clip_that_always_binds_keeps_the_step_and_cycles():
    slope = lambda w: 2 * 20 * (20 * w - 10) + 0.02 * w  # (20w − 10)² + 0.01 w², its minimum at w = 0.49999
    coarse = descend(slope, 0.05, 0.1, 1000, "norm", threshold=10.0)
    assert coarse[-4:] == pytest.approx([1.05, 0.05, 1.05, 0.05], abs=1e-3)
    assert descend(slope, 0.05, 1e-3, 1000, "norm", threshold=10.0)[-1] == pytest.approx(0.49999, abs=1e-4)


@pytest.mark.slow
def test_a_clip_of_each_example_is_optax_s_without_its_noise():
    examples = [{path: g for path, g in grads.items() if not STACKED_AXES[path]} for grads in gradients(9)]
    stacked = {path: np.stack([grads[path] for grads in examples]) for path in examples[0]}
    peer = optax.contrib.differentially_private_aggregate(11.0, 0.0, key=0)
    expected, _ = peer.update(stacked, peer.init(examples[0]))
    own = applied(part("per_example", threshold=11.0), examples, stacked_axes=dict.fromkeys(stacked, 0))
    mean = {path: np.mean([after[path] for after, _ in own], axis=0) for path in stacked}
    assert {float(record["clipped"]) for _, record in own} == {0.0, 1.0}
    np.testing.assert_allclose(flat(mean), flat(expected), rtol=2e-5, atol=1e-7)
