"""Every residual connection and normalization in the mlp: output and gradient by an independent float64 NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.data.task import Form
from gradlab.engine import step
from gradlab.engine.seed_programs import numbers_for
from gradlab.engine.setup import make_setup
from gradlab.nn import chain
from gradlab.parts.normalizations import normalization
from gradlab.parts.residuals import residual
from gradlab.recipe.recipe import numbers
from tests.driver import recipe
from tests.parts.network import logits

FEATURES, OUTPUTS, B = 5, 3, 6
SIZE = ("depth=3", "width=8", f"batch_size={B}", "probe=[forward]")
CASES = {  # every residual connection with one normalization or more, both forms of branches
    "none": ("normalization=group", "normalization.groups=2"),
    "plain": ("normalization=group", "normalization.groups=4", "normalization.place=after", "model.branch=2"),
    "scaled": ("normalization=weight_norm",),
    "pre_activation": ("normalization=layer", "model.branch=2"),
    "post_activation": ("normalization=rms", "model.branch=2"),
    "rezero": ("normalization=scaled_standardization", "normalization.gain=1.3"),
    "layer_scale": ("normalization=weight_standardization", "model.branch=3"),
    "fixup": ("normalization=none", "model.branch=2"),
    "stochastic_depth": ("normalization=none",),
    "deepnorm": ("normalization=layer", "normalization.place=after"),
}
EXTRA = [("pre_activation", "normalization=batch"), ("post_activation", "normalization=batch")]
ALL = [*((name, *words) for name, words in CASES.items()), *EXTRA]


@functools.lru_cache
def float64(*words):
    return recipe(*SIZE, "dtype=float64", *words)


def setup(the):
    return make_setup(the, numbers_for(numbers(the), the.dtype), Form((FEATURES,), 0, OUTPUTS, False))


def drawn(the, seed=0):
    """Random values for all parameters, those that start at 0 or 1 too."""
    rng = np.random.default_rng([17, seed])
    x = jnp.zeros((B, FEATURES))
    shapes = jax.eval_shape(lambda: step.init_state(setup(the), jax.random.key(0), x)).params
    values = {path: rng.standard_normal(one.shape) * 0.5 for path, one in shapes.items()}
    return values, rng.standard_normal((B, FEATURES)), rng.standard_normal((B, OUTPUTS))


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "words", ALL, ids=lambda words: "-".join(word.partition("=")[2] or word for word in words)
)
def test_output_and_gradient_are_those_of_numpy(words):
    with jax.enable_x64(True):
        the = float64(f"residual={words[0]}", *words[1:])
        batchwise = the.normalization["name"] == "batch"  # else evaluation, whose depth is not random
        params, x, weights = drawn(the)

        def output(params):
            parts = setup(the)
            stats = chain.initialize(parts.chain, jax.random.key(0))[1]
            return chain.forward(parts.chain, params, stats, x, jax.random.key(1), train=batchwise)[0]

        given = {path: jnp.asarray(value) for path, value in params.items()}
        found, pull = jax.vjp(jax.jit(output), given)
        grads = {path: np.asarray(value) for path, value in pull(jnp.asarray(weights))[0].items()}
    np.testing.assert_allclose(found, logits(the, params, x), rtol=1e-9, atol=1e-11)
    rng = np.random.default_rng(1)
    for path in params:  # a random direction in each parameter
        move = 1e-5 * rng.standard_normal(params[path].shape)
        ends = [logits(the, params | {path: params[path] + sign * move}, x) for sign in (1, -1)]
        slope = ((ends[0] - ends[1]) * weights).sum() / 2
        assert (grads[path] * move).sum() == pytest.approx(slope, rel=1e-5, abs=1e-12), path


def test_every_residual_and_normalization_is_tested_here():
    assert residual.makers.keys() == CASES.keys()
    named = {word.partition("=")[2] for words in ALL for word in words if word.startswith("normalization=")}
    assert normalization.makers.keys() == named | {
        "instance"
    }  # which needs places: tests/models/test_convolution.py


def started(*words, features=FEATURES):
    the = recipe(*SIZE, *words)
    parts = make_setup(the, numbers_for(numbers(the), the.dtype), Form((features,), 0, OUTPUTS, False))
    x = jax.random.normal(jax.random.key(5), (the.batch_size, features))
    return parts.chain, step.init_state(parts, jax.random.key(0), x), x


def run(blocks, state, x, key=1, train=True):
    return chain.forward(blocks, state.params, state.stats, x, jax.random.key(key), train=train)[0]


@pytest.mark.slow
def test_rezero_starts_as_the_identity_and_only_alpha_has_a_gradient():
    blocks, state, x = started("residual=rezero", "activation=relu")
    grads = jax.grad(lambda params: jnp.sum(jnp.sin(run(blocks, state._replace(params=params), x))))(
        state.params
    )
    assert not np.asarray(grads["hidden/linear/kernel"]).any()
    assert not np.asarray(grads["hidden/linear/bias"]).any()
    assert np.asarray(grads["hidden/residual/alpha"]).all()


def test_fixup_starts_with_an_output_of_zero_whatever_the_input():
    blocks, state, x = started("residual=fixup", "model.branch=2")
    assert not np.asarray(run(blocks, state, 100 * x)).any()
    first, last = (np.asarray(state.params[f"hidden/layer{k}/linear/kernel"]) for k in (1, 2))
    assert not last.any()
    np.testing.assert_allclose(first[0].T @ first[0], np.eye(8) / 3, atol=1e-6)  # L^(−1/(2m−2)) of orthogonal
    assert "hidden/layer1/linear/bias" not in state.params


@pytest.mark.slow
@pytest.mark.parametrize(("residual", "grows"), [("fixup", False), ("pre_activation", True)])
def test_fixup_s_gradient_does_not_grow_with_depth(residual, grows):
    lengths = []
    for depth in (4, 64):
        words = (f"residual={residual}", "model.branch=2", f"depth={depth}", "width=32", "initializer=he")
        blocks, state, x = started("activation=relu", *words)
        head = {"output/linear/kernel": jax.random.normal(jax.random.key(3), (32, OUTPUTS)) / 6}

        def total(params, blocks=blocks, state=state, x=x):
            return jnp.mean(run(blocks, state._replace(params=params), x).sum(1) ** 2)

        grads = jax.jit(jax.grad(total))(state.params | head)
        lengths.append(sum(float((g**2).sum()) for g in jax.tree.leaves(grads)) ** 0.5)
    assert (lengths[1] > 1e3 * lengths[0]) if grows else (lengths[1] < 2 * lengths[0])


def test_a_block_survives_as_often_as_its_depth_says_and_all_of_the_batch_with_it():
    blocks, state, x = started("residual=stochastic_depth", "residual.survival=0.2", "depth=2")
    ask = lambda signal: signal.h

    def signals(key):
        told = chain.forward(blocks, state.params, {}, x, key, train=True, measure=ask)[2]
        return jnp.concatenate([told[0][None], told[1]])

    told = np.asarray(jax.jit(jax.vmap(signals))(jax.random.split(jax.random.key(0), 400)))
    kept = (told[:, 1:] != told[:, :-1]).any(-1)  # tanh of something is not 0
    assert (kept.all(-1) | ~kept.any(-1)).all()
    np.testing.assert_allclose(kept[..., 0].mean(0), [0.6, 0.2], atol=4 * 0.5 / 20)
    assert abs(np.corrcoef(kept[:, 0, 0], kept[:, 1, 0])[0, 1]) < 0.2


def test_deepnorm_draws_the_branch_smaller():
    small, usual = (started(f"residual={name}")[1].params for name in ("deepnorm", "plain"))
    for path in ("input/linear/kernel", "output/linear/kernel"):
        np.testing.assert_array_equal(small[path], usual[path])
    ratio = small["hidden/linear/kernel"] / usual["hidden/linear/kernel"]
    np.testing.assert_allclose(ratio, 24**-0.25, rtol=1e-5)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", sorted(residual.makers))
def test_dtypes_survive_in_bfloat16(name):
    the = recipe(*SIZE, f"residual={name}", "dtype=bfloat16", "model.branch=2", "normalization=weight_norm"
                 if name != "fixup" else "normalization=none")  # fmt: skip
    parts = make_setup(the, numbers_for(numbers(the), the.dtype), Form((FEATURES,), 0, OUTPUTS, False))
    x = jnp.zeros((B, FEATURES), jnp.bfloat16)

    def outputs(x):
        state = step.init_state(parts, jax.random.key(0), x)
        return state.params, run(parts.chain, state, x), run(parts.chain, state, x, train=False)

    params, trained, evaluated = jax.eval_shape(outputs, x)
    assert {str(one.dtype) for one in params.values()} == {"float32"}
    assert trained.dtype == evaluated.dtype == jnp.bfloat16
