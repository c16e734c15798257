"""The convolution and the parts on its kernels: against JAX's own in float64, and against exact theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.nn import images
from gradlab.numerics.convolution import convolve
from gradlab.parts.initializers.contract import initializer
from gradlab.parts.normalizations import normalization
from gradlab.recipe.errors import RecipeError
from tests.test_conf import CONF, content

CASES = [  # spatial shape, window, strides, padding
    ((8, 8), (3, 3), (1, 1), "SAME"),
    ((7, 9), (3, 3), (2, 2), "SAME"),
    ((8, 6), (3, 5), (2, 1), "VALID"),
    ((9, 8), (2, 4), (3, 2), "SAME"),
    ((10, 10), (3, 3), (4, 3), "VALID"),  # no window covers the last entries
    ((8, 7), (1, 1), (2, 2), "VALID"),
    ((9, 9), (7, 7), (2, 2), "SAME"),
    ((6, 6), (3, 3), (1, 1), ((2, 0), (0, 3))),
    ((5, 5), (1, 1), (3, 3), "SAME"),  # a window that leaves gaps
    ((11,), (3,), (2,), "SAME"),
    ((12,), (5,), (3,), "VALID"),
]


@pytest.mark.few(1)
@pytest.mark.parametrize(("places", "window", "strides", "padding"), CASES)
def test_both_gradients_are_those_of_jax_s_own_convolution(places, window, strides, padding):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, kernel = (jnp.asarray(rng.standard_normal(shape)) for shape in ((2, *places, 3), (*window, 3, 4)))
        axes = "HW"[-len(places) :]
        names = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
        plain = lambda x, w: lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=names)
        expected, their_pullback = jax.vjp(plain, x, kernel)
        actual, our_pullback = jax.vjp(lambda x, w: convolve(x, w, strides, padding), x, kernel)
        dy = jnp.asarray(rng.standard_normal(expected.shape))
        np.testing.assert_array_equal(actual, expected)
        for ours, theirs in zip(our_pullback(dy), their_pullback(dy), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)  # sums in another order


@pytest.mark.slow
def test_a_vmapped_convolution_and_its_second_derivative_are_jax_s():
    x, kernel = jax.random.normal(jax.random.key(0), (3, 2, 6, 2)), jnp.ones((3, 3, 2, 2)) / 7
    ours = lambda x, w: jnp.sum(jnp.tanh(convolve(x, w, (2, 1), "SAME")))
    theirs = lambda x, w: jnp.sum(
        jnp.tanh(lax.conv_general_dilated(x, w, (2, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))
    )
    kernels, xs = jnp.stack([kernel, -2 * kernel]), jnp.stack([x[None, 0], x[None, 1]])
    second = lambda f: jax.vmap(jax.grad(lambda x, w: jnp.sum(jnp.sin(jax.grad(f)(x, w)))))(xs, kernels)
    np.testing.assert_allclose(second(ours), second(theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("window", "stride", "padding", "size"), [(2, 2, "valid", 7), (3, 2, "valid", 9), (3, 2, "same", 8)]
)
def test_max_pooling_is_jax_s(window, stride, padding, size):
    x = jax.random.normal(jax.random.key(1), (2, size, size + 2, 3))
    reduced = lambda x: lax.reduce_window(
        x, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), padding.upper()
    )
    expected, their_pullback = jax.vjp(reduced, x)
    actual, our_pullback = jax.vjp(images.max_pool(window, stride, padding), x)
    np.testing.assert_array_equal(actual, expected)
    dy = jax.random.normal(jax.random.key(2), expected.shape)
    np.testing.assert_allclose(our_pullback(dy)[0], their_pullback(dy)[0], atol=1e-6)


def part(family, name, **values):
    return content(CONF / family / f"{name}.yaml") | values


def drawn(name, shape, **values):
    kernel = initializer.make(part("initializer", name, **values)).kernel(jax.random.key(3), shape)
    return np.asarray(kernel, np.float64)


VARIANCES = {  # of a 3 × 3 convolution from 8 to 64 channels: fan_in is 72, fan_out 576
    "he": 2 / 72,
    "lecun": 1 / 72,
    "xavier": 2 / (72 + 576),
    "normal": 1 / 72,
    "article_xavier": 8 / 64,
    "small_normal": 1e-4,
}


@pytest.mark.few(2)
@pytest.mark.parametrize("name", VARIANCES)
def test_a_convolution_s_fan_counts_its_window(name):
    values = {"sigma_w": 1.0} if name == "normal" else {"std": 0.01} if name == "small_normal" else {}
    w = drawn(name, (3, 3, 8, 64), **values)
    assert w.var() == pytest.approx(VARIANCES[name], rel=5 * np.sqrt(2 / w.size))


@pytest.mark.slow
def test_orthogonal_is_of_the_patches_and_the_others_of_the_window_s_middle():
    flat = drawn("orthogonal", (3, 3, 4, 6), gain=1.5).reshape(36, 6)
    np.testing.assert_allclose(flat.T @ flat, 2.25 * np.eye(6), atol=1e-5)
    delta = drawn("delta_orthogonal", (3, 2, 4, 6), sigma_w=1.5)
    identity = drawn("identity", (3, 2, 4, 6), gain=1.5)
    np.testing.assert_allclose(delta[1, 0] @ delta[1, 0].T, 2.25 * np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(identity[1, 0], 1.5 * np.eye(4, 6))
    for kernel in (delta, identity):
        assert np.count_nonzero(kernel[1, 0]) == np.count_nonzero(kernel)


def test_delta_orthogonal_is_orthogonal_for_dense_kernels_and_refuses_fewer_channels_out():
    dense = drawn("delta_orthogonal", (8, 5))
    np.testing.assert_allclose(dense.T @ dense, np.eye(5), atol=1e-6)
    with pytest.raises(RecipeError, match="one here takes 6 to 4"):
        drawn("delta_orthogonal", (3, 3, 6, 4))


def norm_ratios(name, networks):
    """The norm of an image after 200 circular convolutions over that before, (networks,), in float64."""
    draw = initializer.make(part("initializer", name)).kernel

    def layer(h, key):
        padded = jnp.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
        return convolve(padded, draw(key, (3, 3, 8, 8)), (1, 1), "VALID"), None

    def ratio(key):
        x = jax.random.normal(key, (1, 8, 8, 8))
        return jnp.linalg.norm(lax.scan(layer, x, jax.random.split(key, 200))[0]) / jnp.linalg.norm(x)

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(5), networks)
        return np.asarray(jax.jit(lambda keys: lax.map(ratio, keys))(keys))


@pytest.mark.slow
def test_delta_orthogonal_circular_convolutions_keep_the_norm_and_gaussian_ones_do_not():
    np.testing.assert_allclose(norm_ratios("delta_orthogonal", 2), 1, atol=1e-12)
    assert np.abs(np.log(norm_ratios("lecun", 4))).max() > 0.5


IMAGES = (5, 4, 3, 6)
AXES = {"batch": (0, 1, 2), "layer": (3,), "instance": (1, 2)}


@pytest.mark.few(1)
@pytest.mark.parametrize("name", AXES)
def test_a_norm_of_images_is_over_its_own_axes(name):
    x = np.random.default_rng(6).standard_normal(IMAGES) * 2 + 1
    norm = normalization.make(part("normalization", name, epsilon=1e-3)).make(6, jnp.dtype("float32"))
    norm.set_attributes(use_running_average=False, raise_if_not_found=False)
    expected = (x - x.mean(AXES[name], keepdims=True)) / np.sqrt(x.var(AXES[name], keepdims=True) + 1e-3)
    np.testing.assert_allclose(norm(jnp.asarray(x, jnp.float32)), expected, atol=1e-5)


def test_a_group_of_channels_is_normalized_over_all_positions():
    x = np.random.default_rng(7).standard_normal(IMAGES) * 2 + 1
    group_norm = normalization.make(part("normalization", "group", groups=2, epsilon=1e-3))
    groups = x.reshape(5, 12, 2, 3)
    expected = (groups - groups.mean((1, 3), keepdims=True)) / np.sqrt(
        groups.var((1, 3), keepdims=True) + 1e-3
    )
    actual = group_norm.make(6, jnp.dtype("float32"))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(actual, expected.reshape(IMAGES), atol=1e-5)
    with pytest.raises(RecipeError, match="groups=2 does not divide the 7 channels"):
        group_norm.make(7, jnp.dtype("float32"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weight_norm", "weight_standardization", "scaled_standardization"])
def test_a_kernel_s_norm_is_over_its_window_and_channels_in(name):
    kernel = jax.random.normal(jax.random.key(8), (3, 3, 4, 6)) + 0.5
    norms = [normalization.make(part("normalization", name)).make(6, jnp.dtype("float32")) for _ in range(2)]
    of_kernel, of_matrix = norms
    of_kernel.start(3 * kernel)
    of_matrix.start(3 * kernel.reshape(36, 6))
    np.testing.assert_array_equal(of_kernel(kernel).reshape(36, 6), of_matrix(kernel.reshape(36, 6)))


@pytest.mark.parametrize("shape", [(4, 6), (4, 1, 1, 6)])
def test_instance_norm_refuses_a_single_position(shape):
    norm = normalization.make(part("normalization", "instance")).make(6, jnp.dtype("float32"))
    with pytest.raises(RecipeError, match="has only one"):
        norm(jnp.ones(shape))
