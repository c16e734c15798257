"""Recurrent networks: their gradients are those of the plain formulas, of Flax's cells and of finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from gradlab.data.task import Form
from gradlab.engine.seed_programs import numbers_for
from gradlab.engine.setup import make_setup
from gradlab.nn import chain
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import numbers
from tests.models.sequences import network


def inputs(steps=6, features=3, examples=4):
    rng = np.random.default_rng([2, steps])
    return rng.standard_normal((examples, steps, features))


def cotangent(each, steps=6, examples=4):
    return np.random.default_rng(4).standard_normal((examples, steps, 2) if each else (examples, 2))


def sigmoid(z):
    return 1 / (1 + jnp.exp(-z))


def rnn_step(own, x, state):
    h = jnp.tanh(x @ own["input/kernel"] + state[0] @ own["recurrent/kernel"] + own["input/bias"])
    return (h,)


def lstm_step(own, x, state):
    z = x @ own["input/kernel"] + state[0] @ own["recurrent/kernel"] + own["input/bias"]
    i, f, g, o = jnp.split(z, 4, axis=-1)
    c = sigmoid(f) * state[1] + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


def gru_step(own, x, state):
    (h,) = state
    xr, xz, xn = jnp.split(x @ own["input/kernel"] + own["input/bias"], 3, axis=-1)
    hr, hz, hn = jnp.split(h @ own["recurrent/kernel"], 3, axis=-1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = jnp.tanh(xn + r * (hn + own["recurrent/bias"]))
    return ((1 - z) * n + z * h,)


def highway_step(own, x, state):
    (h,) = state
    z = x @ own["input/kernel"] + h @ own["recurrent/kernel"] + own["input/bias"]
    n, t = jnp.split(z, 2, axis=-1)
    return (sigmoid(t) * jnp.tanh(n) + (1 - sigmoid(t)) * h,)


STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step, "recurrent_highway": highway_step}


def unrolled(name, params, x, depth=1, cut=0, each=False):
    """The same network as loops over layers and steps; `cut`: no gradient from step k·n + 1 to step k·n."""
    own = lambda start: {
        path.removeprefix(start): value for path, value in params.items() if path.startswith(start)
    }
    blocks = [own("first/")] + [
        {path: value[l] for path, value in own("upper/").items()} for l in range(depth - 1)
    ]
    h = [x[:, t] for t in range(x.shape[1])]
    for block in blocks:
        zero = jnp.zeros((len(x), block["recurrent/kernel"].shape[0]), x.dtype)
        state, out = (zero, zero) if name == "lstm" else (zero,), []
        for t, now in enumerate(h):
            state = jax.lax.stop_gradient(state) if cut and t % cut == 0 else state
            state = STEPS[name](block, now, state)
            out.append(state[0])
        h = out
    head = lambda h: h @ params["output/linear/kernel"] + params["output/linear/bias"]
    return jnp.stack([head(one) for one in h], axis=1) if each else head(h[-1])


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("name", "depth", "cut", "each"),
    [
        ("rnn", 2, 0, True),
        ("lstm", 1, 4, False),
        ("gru", 1, 0, False),
        ("recurrent_highway", 1, 0, False),
        pytest.param("lstm", 2, 0, False, marks=pytest.mark.slow),
        pytest.param("gru", 2, 2, True, marks=pytest.mark.slow),
        pytest.param("rnn", 2, 1, True, marks=pytest.mark.slow),
    ],
)
def test_the_gradient_is_that_of_the_unrolled_formulas(name, depth, cut, each):
    with jax.enable_x64(True):
        words = (f"model={name}", f"depth={depth}", f"model.bptt={cut}", "dtype=float64")
        found, x, u = network(words, Form((6, 3), 0, 2, each)), inputs(), cotangent(each)
        params = found.random()
        seen = found.loss_and_grads(params, x, u)
        objective = lambda params: jnp.vdot(unrolled(name, params, x, depth, cut, each), u)
        loss, grads = jax.jit(jax.value_and_grad(objective))(params)
    assert seen.loss == pytest.approx(float(loss), rel=1e-12)
    assert seen.grads.keys() == grads.keys()
    for path, value in grads.items():
        np.testing.assert_allclose(seen.grads[path], value, rtol=1e-9, atol=1e-12, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "depth"),
    [("lstm", 1), ("gru", 1), *(pytest.param(name, 3, marks=pytest.mark.slow) for name in STEPS)],
)
def test_measuring_changes_no_bit_of_the_gradient(name, depth):
    found = network((f"model={name}", f"depth={depth}", "width=24"), Form((9, 3), 0, 2, False))
    x, u = inputs(9).astype(np.float32), cotangent(False).astype(np.float32)
    params = found.random()
    with_taps, without = (found.loss_and_grads(params, x, u, measured) for measured in (True, False))
    assert with_taps.loss == without.loss
    for path, value in with_taps.grads.items():
        np.testing.assert_array_equal(value, without.grads[path], err_msg=path)


def flax_lstm(params, width):
    """Flax's OptimizedLSTMCell: its kernels are the gates' own, biases with the state's."""
    gates = dict(zip("ifgo", range(4), strict=True))
    cut = lambda path, k: params[path][..., k * width : (k + 1) * width]
    return {
        **{f"i{g}": {"kernel": cut("first/input/kernel", k)} for g, k in gates.items()},
        **{
            f"h{g}": {"kernel": cut("first/recurrent/kernel", k), "bias": cut("first/input/bias", k)}
            for g, k in gates.items()
        },
    }


def flax_gru(params, width):
    """Flax's GRUCell: biases with the input's kernels, and one of the state's own at n."""
    cut = lambda path, k: params[path][..., k * width : (k + 1) * width]
    found = {
        f"i{g}": {"kernel": cut("first/input/kernel", k), "bias": cut("first/input/bias", k)}
        for k, g in enumerate("rzn")
    }
    found |= {f"h{g}": {"kernel": cut("first/recurrent/kernel", k)} for k, g in enumerate("rzn")}
    found["hn"] |= {"bias": params["first/recurrent/bias"]}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cell", "mapped"),
    [("lstm", linen.OptimizedLSTMCell, flax_lstm), ("gru", linen.GRUCell, flax_gru)],
)
def test_outputs_and_gradients_are_those_of_flax_s_cells(name, cell, mapped):
    with jax.enable_x64(True):
        found = network((f"model={name}", "dtype=float64"), Form((6, 3), 0, 2, False))
        x, params, u = jnp.asarray(inputs()), found.random(), cotangent(False)
        module = cell(8, dtype=jnp.float64, param_dtype=jnp.float64)

        def peer(params):
            carry = (jnp.zeros((4, 8)),) * 2 if name == "lstm" else jnp.zeros((4, 8))
            for t in range(6):
                carry, h = module.apply({"params": mapped(params, 8)}, carry, x[:, t])
            return jnp.vdot(h @ params["output/linear/kernel"] + params["output/linear/bias"], u)

        loss, grads = jax.jit(jax.value_and_grad(peer))(params)
        seen = found.loss_and_grads(params, x, u)
    assert seen.loss == pytest.approx(float(loss), rel=1e-11)
    for path, value in grads.items():
        np.testing.assert_allclose(seen.grads[path], value, rtol=1e-8, atol=1e-11, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("model=lstm", "depth=2", "residual=deepnorm", "normalization=rms", "normalization.place=after"),
        pytest.param(
            ("model=rnn", "depth=2", "activation=leaky_relu", "residual=rezero", "normalization=layer"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=" ".join,
)
def test_the_gradient_is_the_finite_difference_with_norms_and_residuals(words):
    with jax.enable_x64(True):
        found = network((*words, "dtype=float64"), Form((6, 3), 0, 2, False))
        params, x, u = found.random(), inputs(), cotangent(False)
        grads = found.loss_and_grads(params, x, u).grads
        way = {path: value / np.linalg.norm(value) for path, value in found.random(seed=1).items()}
        step = 1e-5
        ends = [
            found.loss_and_grads({p: v + sign * step * way[p] for p, v in params.items()}, x, u).loss
            for sign in (1, -1)
        ]
    slope = sum(float((grads[path] * np.asarray(way[path])).sum()) for path in params)
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


@pytest.mark.slow
def test_tokens_are_embedded_and_every_step_may_answer():
    found = network(("model=gru", "width=8"), Form((7,), 5, 5, True))
    tokens = np.random.default_rng(0).integers(0, 5, (3, 7)).astype(np.int32)
    params = found.start()
    assert params["input/embedding"].shape == (5, 8)
    out = found.run(params, tokens)
    assert out.shape == (3, 7, 5)
    later = tokens.copy()
    later[:, 4:] = 0
    np.testing.assert_array_equal(found.run(params, later)[:, :4], out[:, :4])  # no step sees a later one


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["orthogonal", "identity", "normal"])
def test_the_recurrent_kernel_begins_with_its_radius_gate_by_gate(kind):
    found = network(("model=lstm", "width=64", f"model.recurrent={kind}"), Form((4, 3), 0, 2, False))
    kernel = found.start(model__radius=0.7)["first/recurrent/kernel"]
    for gate in np.split(np.asarray(kernel, np.float64), 4, axis=1):
        radius = np.abs(np.linalg.eigvals(gate)).max()
        assert radius == pytest.approx(0.7, rel=0.25 if kind == "normal" else 1e-5)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("words", "form", "told"),
    [
        (("model=lstm", "activation=relu"), Form((6, 3), 0, 2, False), "choose model=rnn"),
        (("model=rnn",), Form((30,), 0, 2, False), "not examples of shape (30,)"),
        (("model=gru",), Form((8, 8, 1), 0, 2, False), "data=sequential_digits"),
        (("model=rnn", "residual=pre_activation"), Form((6, 3), 0, 2, False), "choose residual="),
        (("model=rnn", "normalization=weight_norm"), Form((6, 3), 0, 2, False), "choose normalization="),
        (("model=rnn", "activation=crelu"), Form((6, 3), 0, 2, False), "doubles"),
    ],
)
def test_what_makes_no_sense_in_a_recurrence_is_refused_in_one_line(words, form, told):
    with pytest.raises(RecipeError) as caught:
        network(words, form).setup()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("remat", [False, True])
def test_the_activation_s_numbers_may_be_data(remat):
    found = network(("model=rnn", "activation=leaky_relu", "depth=2"), Form((6, 3), 0, 2, False))
    x, params = jnp.asarray(inputs(), jnp.float32), found.random()

    def loss(params, slope):
        given = numbers_for(numbers(found.recipe), "float32") | {"activation.slope": slope}
        blocks = make_setup(found.recipe, given, found.form).chain
        out = chain.forward(blocks, params, {}, x, jax.random.key(0), train=True, remat=remat)[0]
        return jnp.sum(out**2)

    loss_and_grads = jax.jit(lambda params, slope: jax.grad(loss)(params, slope)["first/input/kernel"])
    apart = [np.asarray(loss_and_grads(params, jnp.float32(slope))) for slope in (0.1, 1.0)]
    np.testing.assert_allclose(
        apart[1], jax.grad(loss)(params, 1.0)["first/input/kernel"], rtol=1e-4, atol=1e-6
    )
    assert not np.allclose(apart[0], apart[1])
