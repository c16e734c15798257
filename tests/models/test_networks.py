"""The dense and convolutional networks: published parameter counts, gradients in float64, and what they refuse."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.data.task import Form
from gradlab.engine import step
from gradlab.engine.seed_programs import numbers_for
from gradlab.engine.setup import make_setup
from gradlab.nn import chain
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import numbers
from tests.recipes import recipe

GREY, COLOR, LARGE = (28, 28, 1), (32, 32, 3), (224, 224, 3)
COUNTS = [  # words, one image, classes, parameters as published
    (("model=lenet",), GREY, 10, 61_706),
    (("model=alexnet",), (227, 227, 3), 1000, 62_378_344),
    (("model=vgg", "depth=11"), LARGE, 1000, 132_863_336),
    (("model=vgg", "depth=13"), LARGE, 1000, 133_047_848),
    (("model=vgg",), LARGE, 1000, 138_357_544),
    (("model=vgg", "depth=19"), LARGE, 1000, 143_667_240),
    (("model=resnet",), COLOR, 10, 269_722),
    (("model=resnet", "depth=32"), COLOR, 10, 464_154),
    (("model=resnet", "depth=44"), COLOR, 10, 658_586),
    (("model=resnet", "depth=56"), COLOR, 10, 853_018),
    (("model=resnet", "depth=110"), COLOR, 10, 1_727_962),
    (("model=resnet", "depth=110", "residual=pre_activation"), COLOR, 10, 1_727_962),
    (("model=resnet", "residual=none"), COLOR, 10, 269_722),  # the plain net beside it
    (("model=resnet_imagenet",), LARGE, 1000, 11_689_512),
    (("model=resnet_imagenet", "depth=34"), LARGE, 1000, 21_797_672),
    (("model=resnet_imagenet", "depth=50"), LARGE, 1000, 25_557_032),
    (("model=densenet",), COLOR, 10, 769_162),
]


def form(shape, outputs=10, vocabulary=0, each=False):
    return Form(shape, vocabulary, outputs, each)


def setup(the, given):
    return make_setup(the, numbers_for(numbers(the), the.dtype), given)


def shapes(the, given):
    """The parameters' shapes: nothing is allocated."""
    x = jax.ShapeDtypeStruct((4, *given.shape), jnp.float32)
    return jax.eval_shape(lambda x: step.init_state(setup(the, given), jax.random.key(0), x), x).params


@pytest.mark.few(2)
@pytest.mark.parametrize(("words", "shape", "classes", "published"), COUNTS)
def test_a_named_network_has_its_published_parameters(words, shape, classes, published):
    found = shapes(recipe(*words), form(shape, classes))
    assert sum(one.size for one in found.values()) == published


def case(shape, *words, slow=False):
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(words, shape, id="-".join(word.partition("=")[2] for word in words), marks=marks)


SMALL = [  # every network, on the smallest examples that use all of it; what stands twice takes long to compile
    case((5,), "model=perceptron", "activation=sigmoid"),
    case((2, 3), "model=linear", "depth=4", "width=3"),
    case((4, 5, 2), "model=cnn", "depth=2", "width=3", "model.padding=circular"),
    case((7, 2), "model=cnn", "depth=2", "width=3", "model.stem_stride=2", "model.branch=2",
         "residual=pre_activation", "normalization=batch"),
    case((5, 5, 1), "model=cnn", "depth=2", "width=4", "normalization=weight_norm", "residual=layer_scale"),
    case((8, 8, 1), "model=lenet", "model.width_mult=0.5"),
    case((28, 28, 1), "model=lenet", "model.width_mult=0.3", slow=True),
    case((8, 8, 1), "model=alexnet", "model.width_mult=0.01"),
    case((67, 67, 1), "model=alexnet", "model.width_mult=0.01", "model.layout=large", slow=True),
    case((8, 8, 1), "model=vgg", "depth=11", "model.width_mult=0.03", "normalization=batch"),
    case((32, 32, 1), "model=vgg", "depth=11", "model.width_mult=0.03", "model.layout=large", slow=True),
    case((8, 8, 1), "model=resnet", "depth=14", "model.width_mult=0.2", slow=True),
    case((8, 8, 1), "model=resnet", "depth=8", "model.width_mult=0.2", "residual=pre_activation"),
    case((8, 8, 1), "model=resnet", "depth=8", "model.width_mult=0.2", "residual=none", slow=True),
    case((8, 8, 1), "model=resnet", "depth=8", "model.width_mult=0.2", "residual=fixup",
         "normalization=none", slow=True),
    case((8, 8, 1), "model=resnet_imagenet", "model.width_mult=0.04", slow=True),
    case((32, 32, 1), "model=resnet_imagenet", "depth=50", "model.width_mult=0.03",
         "residual=pre_activation", "model.layout=large", slow=True),
    case((8, 8, 1), "model=densenet", "depth=10", "model.width_mult=0.2"),
]  # fmt: skip


@lru_cache
def drawn(words, shape, seed=0):
    """Random values for all parameters, those that start at 0 or 1 too, of a size that keeps the signal."""
    the, given = recipe(*words, "dtype=float64", "probe=[forward]"), form(shape, 3)
    blocks = setup(the, given).chain
    stacked_axes, rng, found = (
        chain.stacked_axes(blocks, shapes(the, given)),
        np.random.default_rng([23, seed]),
        {},
    )
    for path, one in sorted(shapes(the, given).items()):
        fan_in = max(1, np.prod(one.shape[stacked_axes[path] : -1]))
        found[path] = rng.standard_normal(one.shape) / np.sqrt(fan_in) + path.endswith("scale")
    return the, given, found, rng.standard_normal((4, *shape))


def run(the, given, params, x):
    """The network's answers as in training."""
    parts = setup(the, given)
    stats = chain.initialize(parts.chain, jax.random.key(0))[1]
    return chain.forward(parts.chain, params, stats, x, jax.random.key(1), train=True)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "shape"), SMALL)
def test_the_gradient_is_the_slope_of_the_output_itself(words, shape):
    with jax.enable_x64(True):
        the, given, params, x = drawn(tuple(words) + smooth(words), shape)
        weights = np.random.default_rng(2).standard_normal((4, 3))
        scalar = jax.jit(lambda params: jnp.vdot(run(the, given, params, jnp.asarray(x)), weights))
        grads = jax.jit(jax.grad(scalar))(params)
        rng = np.random.default_rng(1)
        move = {path: 1e-6 * rng.standard_normal(one.shape) for path, one in params.items()}
        ends = [scalar({path: params[path] + sign * move[path] for path in params}) for sign in (1, -1)]
        slope = float(ends[0] - ends[1]) / 2
        found = sum(float((grads[path] * move[path]).sum()) for path in params)
        assert found == pytest.approx(slope, rel=2e-6)  # central differences: the third derivative's share


def smooth(words):
    """A smooth activation where the words have none: a kink within the difference would be an error."""
    return (
        ()
        if any(word.startswith("activation") for word in words) or "model=linear" in words
        else ("activation=gelu",)
    )


def test_the_perceptron_s_gradient_is_the_delta_rule():
    words, shape = ("model=perceptron", "activation=sigmoid"), (5,)
    with jax.enable_x64(True):
        the, given, params, x = drawn(words, shape)
        y = np.random.default_rng(3).standard_normal((4, 3))
        loss = lambda params: jnp.mean(jnp.sum((run(the, given, params, jnp.asarray(x)) - y) ** 2, 1)) / 2
        grads = jax.grad(loss)(params)
    o = 1 / (1 + np.exp(-(x @ params["output/linear/kernel"] + params["output/linear/bias"])))
    delta = (o - y) * o * (1 - o)  # ∂L/∂z of one example
    np.testing.assert_allclose(grads["output/linear/kernel"], x.T @ delta / 4, rtol=1e-12)
    np.testing.assert_allclose(grads["output/linear/bias"], delta.mean(0), rtol=1e-12)


def torch_resnet(torch, params, x):
    """ResNet of depth 14 in PyTorch, from gradlab's own parameters."""
    functional = torch.nn.functional

    def conv(h, own, prefix, stride=1):
        kernel = own[f"{prefix}linear/kernel"].permute(3, 2, 0, 1)
        size = h.shape[-1]  # padded as XLA's SAME is: for a stride of 2 on the right and below
        total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
        around = (total // 2, total - total // 2) * 2
        h = functional.conv2d(functional.pad(h, around), kernel, stride=stride)
        scale, bias = own[f"{prefix}norm/scale"], own[f"{prefix}norm/bias"]
        return functional.batch_norm(h, None, None, scale, bias, training=True, eps=1e-5)

    def of(name, k=None):
        start = f"{name}/"
        found = {path.removeprefix(start): v for path, v in params.items() if path.startswith(start)}
        return found if k is None else {path: v[k] for path, v in found.items()}

    h = functional.gelu(conv(x.permute(0, 3, 1, 2), of("input"), ""))
    for own in (
        of("stage1", 0),
        of("stage1", 1),
        of("entry2"),
        of("stage2", 0),
        of("entry3"),
        of("stage3", 0),
    ):
        grown = own["layer1/linear/kernel"].shape[-1] - h.shape[1]
        stride = 2 if grown else 1
        branch = functional.gelu(conv(h, own, "layer1/", stride))
        carried = functional.pad(h[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, grown))
        h = functional.gelu(carried + conv(branch, own, "layer2/"))
    return h.mean((2, 3)) @ params["output/linear/kernel"] + params["output/linear/bias"]


def test_the_residual_network_is_the_one_written_in_pytorch():
    torch = pytest.importorskip("torch")
    words = (
        "model=resnet",
        "depth=14",
        "model.width_mult=0.25",
        "activation=gelu",
        "activation.approximate=false",
    )
    with jax.enable_x64(True):
        the, given, params, x = drawn(words, (9, 8, 2))
        x = x[:, :8]  # a square
        given = form((8, 8, 2), 3)
        weights = np.random.default_rng(2).standard_normal((4, 3))
        found, pull = jax.vjp(jax.jit(lambda params: run(the, given, params, jnp.asarray(x))), params)
        grads = pull(jnp.asarray(weights))[0]
    theirs = {path: torch.tensor(one, requires_grad=True) for path, one in params.items()}
    wanted = torch_resnet(torch, theirs, torch.tensor(x))
    (wanted * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-9, atol=1e-11)
    for path, one in theirs.items():
        np.testing.assert_allclose(grads[path], one.grad.numpy(), rtol=1e-7, atol=1e-9, err_msg=path)


REFUSED = [
    (("model=cnn",), form((30,)), "takes images (height, width, channels) or sequences (time, features)"),
    (
        ("model=resnet",),
        form((12, 5)),
        "takes images (height, width, channels), not examples of shape (12, 5)",
    ),
    (("model=lenet",), form((12, 5, 1), each=True), "wants an answer for every time step"),
    (("model=mlp",), form((12,), vocabulary=7), "takes numbers, and this data is tokens"),
    (("model=lenet", "model.layout=large"), form((8, 8, 1)), "5×5 where its signal is only 4×4"),
    (("model=alexnet", "model.layout=large"), form((32, 32, 3)), "the images are too small"),
    (("model=vgg", "model.layout=large"), form((16, 16, 1)), "the images are too small"),
    (("model=densenet",), form((3, 3, 1)), "the images are too small"),
    (("model=lenet", "depth=50"), form((28, 28, 1)), "has exactly 5 layers; got depth=50"),
    (("model=vgg", "depth=17"), form((28, 28, 1)), "has 11, 13, 16 or 19 layers; got depth=17"),
    (("model=vgg", "width=32"), form((28, 28, 1)), "scale all of them by model.width_mult"),
    (("model=resnet", "depth=21"), form((8, 8, 1)), "has 6n + 2 layers, 20 or 110 for example; got depth=21"),
    (("model=resnet_imagenet", "depth=101"), form((8, 8, 1)), "has 18, 34 or 50 layers; got depth=101"),
    (("model=densenet", "residual=plain"), form((8, 8, 1)), "joins by concatenation"),
    (("model=perceptron", "depth=2"), form((5,)), "has exactly 1 layer; got depth=2"),
]


@pytest.mark.few(5)
@pytest.mark.parametrize(("words", "given", "told"), REFUSED)
def test_what_a_network_cannot_take_is_told_in_one_line(words, given, told):
    with pytest.raises(RecipeError) as caught:
        setup(recipe(*words), given)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{words[0]}, data=digits: ")
    assert "\n" not in str(caught.value)


def test_a_plain_map_has_no_activation_to_choose():
    with pytest.raises(RecipeError, match="choose model=mlp"):
        recipe("model=linear", "activation=relu")


@pytest.mark.slow
def test_a_thousand_convolutions_pass_the_gradient_when_they_begin_as_rotations():
    sigma = ("initializer.sigma_w=1.02469508", "initializer.sigma_b=0.0044833")  # σ_w² = 1.05, σ_b² = 2.01e-5
    words = ("model=cnn", "depth=1000", "width=8", "model.padding=circular", "activation=tanh", *sigma)
    given, ratio = form((8, 8, 1)), {}
    for name in ("delta_orthogonal", "normal"):
        the = recipe(*words, f"initializer={name}")
        x = jax.random.normal(jax.random.key(9), (8, 8, 8, 1))

        def backward(key, the=the, x=x):
            parts = setup(the, given)
            state = step.init_state(parts, key, x)
            pull = lambda probes: chain.forward(
                parts.chain, state.params, {}, x, key, train=True, dummies=probes
            )[0].sum()
            seen = jax.grad(pull)(chain.dummies(parts.chain, state.params))
            return chain.backward_norms(parts.chain, seen, 8).signal

        curve = jax.jit(lambda keys, backward=backward: jax.lax.map(backward, keys))(
            jax.random.split(jax.random.key(0), 3)
        )
        ratio[name] = np.exp2(np.asarray(curve[:, 1] - curve[:, 1000], np.float64))
    assert ((ratio["delta_orthogonal"] > 0.3) & (ratio["delta_orthogonal"] < 3)).all()
    assert np.median(ratio["normal"]) < 0.1
