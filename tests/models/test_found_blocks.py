"""The blocks of a network of one's own are found in its equations, whatever library it is written with."""

from itertools import pairwise

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import gradlab
from gradlab.models import mlp
from gradlab.nn import chain, measured
from gradlab.nn.adapters import blocks_of
from gradlab.recipe.errors import RecipeError
from tests.models import own_networks as own
from tests.models.own_networks import WIDTH
from tests.models.planned import plan

FEATURES, OUTPUTS, DEPTH, B = 9, 3, 30, 8


def weights(depth=DEPTH):
    """(kernel, bias) of the input block, the hidden blocks and the output block."""
    rng = np.random.default_rng(0)
    sizes = [FEATURES, *[WIDTH] * (depth + 1), OUTPUTS]
    return [
        ((1.2 * rng.standard_normal((a, b)) / a**0.5).astype("f"), (0.1 * rng.standard_normal(b)).astype("f"))
        for a, b in pairwise(sizes)
    ]


def x():
    return jax.random.normal(jax.random.key(3), (B, FEATURES))


def loss(output):
    return jnp.mean(jnp.sum(output**2, 1))


def hidden(params, h):
    return jnp.tanh(h @ params[0] + params[1])


def head(params, h):
    return h @ params[0] + params[1]


def reference(weights):
    """The profile of a list of functions, which has its blocks by itself."""
    return gradlab.profile([hidden] * (len(weights) - 1) + [head], x(), loss, params=weights)


def nnx_net(weights):
    net = own.NnxNet(FEATURES, len(weights) - 2, OUTPUTS, nnx.Rngs(0))
    linears = [net.entry, *(block.linear for block in net.blocks), net.head]
    for linear, (w, b) in zip(linears, weights, strict=True):
        linear.kernel[...], linear.bias[...] = w, b
    return net, None


def linen_compact(weights):
    names = [f"Dense_{index}" for index in range(len(weights))]
    return own.LinenCompact(len(weights) - 2, OUTPUTS), dense(names, weights)


def linen_setup(weights):
    names = ["entry", *(f"layers_{index}" for index in range(len(weights) - 2)), "head"]
    return own.LinenSetup(len(weights) - 2, OUTPUTS), dense(names, weights)


def dense(names, weights):
    return {name: {"kernel": w, "bias": b} for name, (w, b) in zip(names, weights, strict=True)}


def haiku(weights):
    names = ["linear", *(f"linear_{index}" for index in range(1, len(weights)))]
    params = {f"net/~/{name}": {"w": w, "b": b} for name, (w, b) in zip(names, weights, strict=True)}
    return own.haiku_like(len(weights) - 2, OUTPUTS), params


def plain(weights):
    return own.plain, own.plain_params(weights)


def equinox(weights):
    eqx = pytest.importorskip("equinox")
    from tests.models.own_equinox import EquinoxNet

    net = EquinoxNet(FEATURES, len(weights) - 2, OUTPUTS, jax.random.key(0))
    where = lambda net: [
        array for layer in (net.entry, *net.layers, net.head) for array in (layer.weight, layer.bias)
    ]
    return eqx.tree_at(where, net, [jnp.asarray(array) for w, b in weights for array in (w.T, b)]), None


KINDS = {
    "nnx": (nnx_net, "blocks.0"),
    "linen_compact": (linen_compact, "Dense_1"),
    "linen_setup": (linen_setup, "layers_0"),
    "haiku": (haiku, "net.~.linear_1"),
    "plain": (plain, "1"),
    "equinox": (equinox, "layers.0"),
}


@pytest.fixture(scope="module")
def expected():
    return reference(weights())


@pytest.mark.few(3)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_module_has_the_rows_of_the_list_of_its_functions(kind, expected):
    build, second = KINDS[kind]
    network, params = build(weights())
    found = gradlab.profile(network, x(), loss, params=params)
    assert len(found.layers) == DEPTH + 2
    assert found.layers[1] == second
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    for column in ("log10_forward", "log10_backward", "log10_gradient", "log10_weight"):
        np.testing.assert_allclose(getattr(found, column), getattr(expected, column), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_rows_of_gradlab_s_own_mlp(kind):
    blocks = mlp.mlp(branch=1)(plan(depth=4, width=WIDTH, outputs=OUTPUTS))
    params, stats = chain.initialize(blocks, jax.random.key(5))
    inputs = measured.Inputs(params, stats, None, x(), jax.random.key(0), examples=B)
    own_pass = measured.measured_pass(blocks, lambda output, _: (loss(output), None), inputs)
    layers = [
        ("input", None),
        *(("hidden", index) for index in range(4)),
        ("output", None),
    ]
    given = [
        tuple(
            np.asarray(
                params[f"{name}/linear/{part}"] if index is None else params[f"{name}/linear/{part}"][index]
            )
            for part in ("kernel", "bias")
        )
        for name, index in layers
    ]
    network, own_params = KINDS[kind][0](given)
    found = gradlab.profile(network, x(), loss, params=own_params)
    for name, column in own_pass.profiles._asdict().items():
        np.testing.assert_allclose(getattr(found, name), column, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_neighbours_are_one_stack(kind):
    build, _ = KINDS[kind]
    network, params = build(weights())
    given = network if params is None else (network, params)
    blocks = blocks_of(lambda key: given, x())
    assert [block.count for block in blocks] == [None, DEPTH, None]


def blocks_and_output(network, x, train=True, key=0):
    """The found blocks, and what they compute."""
    blocks = blocks_of(lambda key: network, x)
    params, stats = chain.initialize(blocks, jax.random.key(1))
    output, after, _ = chain.forward(blocks, params, stats, x, jax.random.key(key), train=train)
    return blocks, output, (stats, after)


class Residual(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(WIDTH, rngs=rngs)
        self.up, self.down = nnx.Linear(WIDTH, 7, rngs=rngs), nnx.Linear(7, WIDTH, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, h):
        return h + self.dropout(self.down(nnx.relu(self.up(self.norm(h)))))


class ResidualNet(nnx.Module):
    def __init__(self, rngs, blocks=3):
        self.entry = nnx.Linear(FEATURES, WIDTH, rngs=rngs)
        self.blocks = nnx.List([Residual(rngs) for _ in range(blocks)])
        self.head = nnx.Linear(WIDTH, OUTPUTS, rngs=rngs)

    def __call__(self, x):
        h = self.entry(x)
        for block in self.blocks:
            h = block(h)
        return self.head(h)


def test_a_residual_body_is_one_block_and_keeps_its_statistics():
    net = ResidualNet(nnx.Rngs(0))
    blocks, output, (before, after) = blocks_and_output(net, x(), train=False)
    assert [(block.name, block.count) for block in blocks] == [("entry", None), ("blocks", 3), ("head", None)]
    net.eval()
    np.testing.assert_allclose(output, net(x()), rtol=1e-6)
    assert before.keys() == {"blocks/norm/mean", "blocks/norm/var"}
    assert all(np.array_equal(before[path], after[path]) for path in before)
    _, output, (_, after) = blocks_and_output(net, x())
    net.train()
    h = net.entry(x())
    np.testing.assert_allclose(after["blocks/norm/mean"][0], 0.01 * h.mean(0), rtol=1e-4, atol=1e-7)
    assert not np.array_equal(output, blocks_and_output(net, x(), key=1)[1])  # dropout is drawn anew


class Noisy(nnx.Module):
    """A module with a random stream of a name of its own."""

    def __init__(self, rngs):
        self.entry, self.head = nnx.Linear(FEATURES, WIDTH, rngs=rngs), nnx.Linear(WIDTH, OUTPUTS, rngs=rngs)
        self.noise = nnx.Rngs(noise=1)

    def __call__(self, x):
        return self.head(self.entry(x) + jax.random.normal(self.noise.noise(), (len(x), WIDTH)))


def test_every_random_stream_is_drawn_anew():
    outputs = [blocks_and_output(Noisy(nnx.Rngs(0)), x(), key=key)[1] for key in (0, 0, 1)]
    np.testing.assert_array_equal(*outputs[:2])
    assert not np.array_equal(*outputs[1:])


def test_batches_of_every_size_are_run():
    blocks = blocks_of(lambda key: ResidualNet(nnx.Rngs(0)), x())
    params, stats = chain.initialize(blocks, jax.random.key(1))
    for size in (1, 5):
        output = chain.forward(blocks, params, stats, x()[:size], jax.random.key(0), train=False)[0]
        assert output.shape == (size, OUTPUTS)


def test_marks_name_the_blocks():
    kernels = np.stack([w for w, _ in weights(4)[1:-1]])

    def network(kernels, x):
        h = x[:, :WIDTH]
        for index in range(len(kernels)):
            with gradlab.block(f"step {index}"):
                h = jnp.tanh(jnp.tanh(h @ kernels[index]))
        return h

    for params in (kernels, list(kernels)):  # slices of one array, and arrays
        found = gradlab.profile(network, x(), loss, params=params)
        assert found.layers == ("step 0", "step 1", "step 2", "step 3")


class ScannedBlock(nn.Module):
    @nn.compact
    def __call__(self, h, _):
        return h + nn.Dense(WIDTH)(jnp.tanh(nn.LayerNorm()(h))), None


class Scanned(nn.Module):
    """A scan over layers, whose parameters are stacked."""

    @nn.compact
    def __call__(self, x):
        scan = nn.scan(ScannedBlock, variable_axes={"params": 0}, split_rngs={"params": True}, length=5)
        h, _ = scan(name="layers")(nn.Dense(WIDTH)(x), None)
        return nn.Dense(OUTPUTS)(h)


def test_the_layers_of_a_scan_are_blocks():
    module = Scanned()
    variables = module.init(jax.random.key(0), x())
    blocks, output, _ = blocks_and_output((module, variables), x())
    assert [(block.name, block.count) for block in blocks] == [
        ("Dense_0", None),
        ("layers", 5),
        ("Dense_1", None),
    ]
    np.testing.assert_allclose(output, module.apply(variables, x()), rtol=1e-5, atol=1e-6)
    assert blocks[1].labels[:2] == ("layers.0", "layers.1")


def test_tied_weights_are_not_trained_apart():
    def network(params, x):
        h = jnp.tanh(x @ params["embed"])
        for w in params["layers"]:
            h = jnp.tanh(h @ w)
        return h @ params["embed"].T

    kernel = jnp.ones((FEATURES, WIDTH))
    params = {"embed": kernel, "layers": [w for w, _ in weights(3)[1:-1]]}
    assert len(blocks_of(lambda key: (network, params), x())) == 1


def step_like(slope):
    """The sign, whose gradient is taken for that of slope·h."""

    @jax.custom_vjp
    def sign(h):
        return jnp.sign(h)

    sign.defvjp(lambda h: (sign(h), None), lambda _, cotangent: (slope * cotangent,))
    return sign


def test_functions_of_equal_values_and_other_gradients_are_no_stack():
    functions = [step_like(1.0), step_like(1.0), step_like(0.01)]

    def network(params, h):
        for w, function in zip(params, functions, strict=True):
            h = function(h @ w)
        return h

    kernels = [w for w, _ in weights(3)[1:-1]]
    blocks = blocks_of(lambda key: (network, kernels), x()[:, :WIDTH])
    assert sum(block.layers for block in blocks) == 3
    found = gradlab.profile(network, x()[:, :WIDTH], loss, params=kernels)
    apart = [lambda w, h, f=function: f(h @ w) for function in functions]
    expected = gradlab.profile(apart, x()[:, :WIDTH], loss, params=kernels)
    np.testing.assert_allclose(found.log10_backward, expected.log10_backward, atol=1e-5)


class Stage(nn.Module):
    width: int

    @nn.compact
    def __call__(self, h):
        for index in range(2):
            f = nn.relu(nn.Conv(self.width, (3, 3), name=f"block{index}_a")(h))
            h = h + nn.Conv(self.width, (3, 3), name=f"block{index}_b")(f)
        return h


class Images(nn.Module):
    """Convolutions in two stages, with normalizations, and a mean over the picture."""

    @nn.compact
    def __call__(self, x, train: bool):
        h = x.reshape(len(x), 3, 3, 1)
        for width in (4, 6):
            h = nn.Conv(width, (3, 3))(h)
            h = nn.relu(nn.BatchNorm(use_running_average=not train)(h))
            h = Stage(width)(h)
        return nn.Dense(OUTPUTS)(h.mean((1, 2)))


def test_stages_of_images_are_found():
    blocks, output, (stats, _) = blocks_and_output(Images(), x())
    assert output.shape == (B, OUTPUTS)
    assert set(stats) == {f"Conv_{i}/BatchNorm_{i}/{name}" for i in (0, 1) for name in ("mean", "var")}
    assert [block.name for block in blocks] == [
        "Conv_0",
        "Stage_0",
        "Conv_1",
        "Stage_1",
        "Dense_0",
    ]


def test_a_bias_and_a_table_of_positions_are_no_blocks():
    def network(params, x):
        h = jnp.tanh(x @ params["w"] + params["b"]) + params["positions"]
        return h @ params["head"]["kernel"]

    params = {
        "w": jnp.ones((FEATURES, WIDTH)),
        "b": jnp.ones(WIDTH),
        "positions": jnp.ones((B, WIDTH)),
        "head": {"kernel": jnp.ones((WIDTH, OUTPUTS))},
    }
    blocks = blocks_of(lambda key: (network, params), x())
    assert [block.name for block in blocks] == ["w", "head"]


def test_tokens_and_a_mask_that_every_block_reads():
    def attention(params, tokens):
        h = params["embed"]["table"][tokens]
        mask = (tokens > 0)[:, None, :]
        for index in range(2):
            own = params["layers"][index]
            scores = jnp.where(mask, h @ own["q"] @ jnp.swapaxes(h @ own["k"], 1, 2), -1e9)
            h = h + jax.nn.softmax(scores) @ h @ own["v"]
        return h @ params["head"]["w"]

    rng = np.random.default_rng(0)
    kernel = lambda *shape: jnp.asarray(rng.standard_normal(shape) / 3, jnp.float32)
    params = {
        "embed": {"table": kernel(11, WIDTH)},
        "layers": [{name: kernel(WIDTH, WIDTH) for name in "qkv"} for _ in range(2)],
        "head": {"w": kernel(WIDTH, OUTPUTS)},
    }
    tokens = jnp.asarray(rng.integers(0, 11, (B, 5)))
    found = gradlab.profile(attention, tokens, lambda output: jnp.mean(output**2), params=params)
    assert found.layers == ("embed", "layers.0", "layers.1", "head")
    taps = lambda dummies: jnp.mean(tapped(params, tokens, dummies) ** 2)

    def tapped(params, tokens, dummies):
        h = gradlab.tap(params["embed"]["table"][tokens], dummies[0])
        mask = (tokens > 0)[:, None, :]
        for index in range(2):
            own = params["layers"][index]
            scores = jnp.where(mask, h @ own["q"] @ jnp.swapaxes(h @ own["k"], 1, 2), -1e9)
            h = gradlab.tap(h + jax.nn.softmax(scores) @ h @ own["v"], dummies[index + 1])
        return h @ params["head"]["w"]

    by_hand = jax.grad(taps)(jnp.zeros(3)) + 0.5 * np.log10(B)
    np.testing.assert_allclose(found.log10_backward[:3], by_hand, atol=1e-5)


WRONG = {
    "effects": (lambda w, h: (jax.debug.print("{}", h[0, 0]), h @ w)[1], "has side effects (Debug"),
    "no parameters": (lambda w, h: h + 0 * h, "has no parameters that its output depends on"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_measured_is_told(name):
    function, message = WRONG[name]
    with pytest.raises(RecipeError) as error:
        blocks_of(lambda key: (function, jnp.ones((FEATURES, OUTPUTS))), x())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_equinox_takes_a_key_for_each_example():
    pytest.importorskip("equinox")
    from tests.models.own_equinox import WithDropout

    net = WithDropout([FEATURES, WIDTH, WIDTH, WIDTH, OUTPUTS], jax.random.key(0))
    blocks, first, _ = blocks_and_output(net, x())
    assert [block.layers for block in blocks] == [1, 2, 1]
    assert not np.array_equal(first, blocks_and_output(net, x(), key=1)[1])
    np.testing.assert_array_equal(*(blocks_and_output(net, x(), train=False, key=key)[1] for key in (0, 1)))
