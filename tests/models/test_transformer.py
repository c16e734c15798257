"""The Transformer: gradients of the plain formulas, causality, its orders' constants, and what depth does to each."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.data.task import Form
from gradlab.recipe.errors import RecipeError
from tests.models.sequences import network

DEPTH, WIDTH, HEADS, TIME = 2, 8, 2, 5
WORDS = ("model=transformer", f"depth={DEPTH}", f"width={WIDTH}", f"model.heads={HEADS}", "model.expansion=2")


def inputs(features=3):
    rng = np.random.default_rng(5)
    return rng.standard_normal((3, TIME, features)), rng.standard_normal((3, TIME, 2))


def norm(own, h):
    away = h - h.mean(-1, keepdims=True)
    return own["scale"] * away / jnp.sqrt((away**2).mean(-1, keepdims=True) + 1e-5) + own["bias"]


def attention(own, h, causal):
    """One head after the other, one query after the other."""
    q, k, v = (
        h @ own[f"attention/{name}/kernel"] + own[f"attention/{name}/bias"]
        for name in ("query", "key", "value")
    )
    size, heads = WIDTH // HEADS, []
    for head in range(HEADS):
        part, rows = slice(head * size, (head + 1) * size), []
        for t in range(TIME):
            seen = slice(0, t + 1 if causal else TIME)
            scores = jnp.einsum("bd,bsd->bs", q[:, t, part], k[:, seen, part]) / math.sqrt(size)
            shares = jnp.exp(scores) / jnp.exp(scores).sum(1, keepdims=True)
            rows.append(jnp.einsum("bs,bsd->bd", shares, v[:, seen, part]))
        heads.append(jnp.stack(rows, 1))
    return jnp.concatenate(heads, -1) @ own["attention/out/kernel"] + own["attention/out/bias"]


def feed(own, h):
    z = h @ own["feedforward/up/kernel"] + own["feedforward/up/bias"]
    gelu = 0.5 * z * (1 + jax.scipy.special.erf(z / math.sqrt(2)))
    return gelu @ own["feedforward/down/kernel"] + own["feedforward/down/bias"]


def plain(params, x, order, causal):
    """The same network as a loop over its blocks."""
    cut = lambda tree, start: {p.removeprefix(start): v for p, v in tree.items() if p.startswith(start)}
    places = np.arange(WIDTH)
    angles = np.arange(TIME)[:, None] / 10000 ** (2 * (places // 2) / WIDTH)
    h = x @ params["input/linear/kernel"] + params["input/linear/bias"]
    h = h + np.where(places % 2, np.cos(angles), np.sin(angles))
    alpha = (2 * DEPTH) ** 0.25 if order == "deepnorm" else 1
    for layer in range(DEPTH):
        own = {path: value[layer] for path, value in cut(params, "block/").items()}
        for place, branch in ((1, lambda own, h: attention(own, h, causal)), (2, feed)):
            of = cut(own, f"norm{place}/")
            h = h + branch(own, norm(of, h)) if order == "pre" else norm(of, alpha * h + branch(own, h))
    h = norm(cut(params, "output/norm/"), h) if order == "pre" else h
    return h @ params["output/linear/kernel"] + params["output/linear/bias"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ("pre", "decoder"),
        pytest.param("post", "encoder", marks=pytest.mark.slow),
        pytest.param("deepnorm", "decoder", marks=pytest.mark.slow),
    ],
)
def test_the_gradient_is_that_of_the_plain_formulas(order, kind):
    with jax.enable_x64(True):
        words = (*WORDS, f"model.order={order}", f"model.kind={kind}", "dtype=float64")
        found, (x, u) = network(words, Form((TIME, 3), 0, 2, True)), inputs()
        params = found.random(scale=0.6)
        seen = found.loss_and_grads(params, x, u)
        objective = lambda params: jnp.vdot(plain(params, x, order, kind == "decoder"), u)
        loss, grads = jax.jit(jax.value_and_grad(objective))(params)
    assert seen.loss == pytest.approx(float(loss), rel=1e-10)
    assert seen.grads.keys() == grads.keys()
    for path, value in grads.items():
        np.testing.assert_allclose(seen.grads[path], value, rtol=1e-8, atol=1e-10, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "each", "causal"), [("decoder", True, True), ("encoder", True, False), ("auto", True, True)]
)
def test_a_decoder_sees_no_later_position_and_an_encoder_does(kind, each, causal):
    found = network((*WORDS, f"model.kind={kind}"), Form((TIME,), 7, 7, each))
    params, tokens = found.random(), np.random.default_rng(0).integers(0, 7, (3, TIME)).astype(np.int32)
    later = np.where(np.arange(TIME) > 2, (tokens + 1) % 7, tokens)
    before, after = (found.run(params, one)[:, :3] for one in (tokens, later))
    assert np.array_equal(before, after) == causal


@pytest.mark.slow
def test_the_entropy_is_that_of_uniform_attention_where_queries_are_zero():
    found, (x, u) = network((*WORDS, "model.kind=decoder"), Form((TIME, 3), 0, 2, True)), inputs()
    params = {path: 0 * value if "query" in path else value for path, value in found.random().items()}
    told = found.loss_and_grads(params, x.astype(np.float32), u.astype(np.float32)).notes["attention_entropy"]
    wanted = np.log(np.arange(1, TIME + 1)).mean()  # position t sees t alike
    np.testing.assert_allclose(told, np.full(DEPTH, wanted), rtol=1e-6)


@pytest.mark.slow  # draws two networks
def test_deepnorm_shrinks_value_out_and_feed_forward_kernels_alone():
    form = Form((TIME, 3), 0, 2, True)
    usual, deep = (network((*WORDS, f"model.order={order}"), form).start() for order in ("post", "deepnorm"))
    shrunk = ("value/kernel", "attention/out/kernel", "up/kernel", "down/kernel")
    for path, value in usual.items():
        factor = (8 * DEPTH) ** -0.25 if path.endswith(shrunk) else 1
        np.testing.assert_allclose(deep[path], factor * np.asarray(value), rtol=1e-6, err_msg=path)


@pytest.mark.slow
def test_without_a_skip_only_the_branches_are_left():
    found, (x, _) = network((*WORDS, "residual=none"), Form((TIME, 3), 0, 2, True)), inputs()
    params = {
        path: 0 * value if "feedforward/down" in path else value for path, value in found.random().items()
    }
    out = found.run(params, x.astype(np.float32))
    np.testing.assert_allclose(out, np.broadcast_to(out[:1, :1], out.shape), atol=1e-6)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("words", "form", "told"),
    [
        (("model.heads=3",), Form((TIME, 3), 0, 2, True), "multiple of model.heads"),
        (("residual=fixup",), Form((TIME, 3), 0, 2, True), "choose residual="),
        (("normalization.place=after",), Form((TIME, 3), 0, 2, True), "model.order"),
        (("normalization=weight_norm",), Form((TIME, 3), 0, 2, True), "choose normalization="),
        ((), Form((8, 8, 1), 0, 2, False), "data=sequential_digits"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(words, form, told):
    with pytest.raises(RecipeError) as caught:
        network((*WORDS, *words), form).setup()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def last_gradient(order, depth, seeds):
    """Geometric mean of ‖∂L/∂W‖ of the last block's last kernel, for a unit cotangent at every position."""
    words = ("model=transformer", "activation=relu", "width=64", f"depth={depth}", f"model.order={order}")
    found, logs = network((*words, "model.kind=encoder"), Form((16, 64), 0, 64, True)), []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x, u = (rng.standard_normal((8, 16, 64)).astype(np.float32) for _ in range(2))
        params = found.start(seed) | {"input/linear/kernel": jnp.eye(64)}
        seen = found.loss_and_grads(params, x, u / np.linalg.norm(u, axis=-1, keepdims=True), measured=False)
        logs.append(math.log(np.linalg.norm(seen.grads["block/feedforward/down/kernel"][-1])))
    return np.mean(logs)


@pytest.mark.slow
@pytest.mark.parametrize(("order", "wanted"), [("pre", -0.5), ("post", 0.0)])
def test_depth_shrinks_the_last_block_s_gradient_in_pre_order_alone(order, wanted):
    depths = (4, 8, 16, 32, 64)
    slope = np.polyfit(np.log(depths), [last_gradient(order, depth, 3) for depth in depths], 1)[0]
    assert slope == pytest.approx(wanted, abs=0.12)  # Xiong et al. 2020, theorem 1
