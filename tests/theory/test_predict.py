"""The prediction for an mlp, against random networks of the same recipe.

A curve is right when it lies within 3.5 standard errors of the mean of the drawn ln‖·‖², plus 1.2/n per block
(the terms of order 1/n that theory leaves out); batch norm 2/n per block; residual ReLU nets 6 % more.
"""

import math

import numpy as np
import pytest

from gradlab.theory.activations import activation
from gradlab.theory.meanfield import chi
from gradlab.theory.mlp import predict, unavailable
from tests.theory.network import DATA, SCALE, draw_networks, norm, part, recipe

ACTIVATIONS = "linear sigmoid tanh relu leaky_relu gelu selu".split()
INITIALIZERS = [
    part("small_normal", std=0.08),
    part("normal", sigma_w=1.3, sigma_b=0.3),
    part("xavier", distribution="normal"),
    part("he", distribution="uniform"),
    part("lecun", distribution="normal"),
    part("orthogonal", gain=1.0),
]
MORE = [  # each is one of the above with other parameters
    part("truncated_normal", std=0.1),
    part("uniform", scale=0.2),
    part("critical", sigma_w=1.327, sigma_b=0.2236),
    part("article_xavier"),
    part("xavier", distribution="normal", gain=1.3),
    part("he", distribution="normal", mode="fan_out", slope=0.0),
    part("he", distribution="normal", mode="fan_in", slope=0.5),
]
NORMS = [norm(name, place) for name in ("batch", "layer", "rms") for place in ("before", "after")]


def compare(settings, networks=24, per_block=1.2, share=0.0):
    """Fails unless the drawn forward and backward curves follow the predicted ones."""
    prediction = predict(settings, DATA)
    for drawn, curve in zip(
        draw_networks(settings, networks), (prediction.log10_forward, prediction.log10_backward), strict=True
    ):
        error = drawn.std(0, ddof=1) / math.sqrt(networks)
        gap = np.abs(drawn.mean(0) - curve * SCALE)
        room = (
            3.5 * error
            + per_block * settings["depth"] / settings["width"]
            + share * np.abs(curve * SCALE)
            + 0.02
        )
        assert (gap <= room)[:-1].all(), (gap / room).max()
    return prediction


@pytest.mark.few(3)
@pytest.mark.parametrize("name", [*ACTIVATIONS, "erf", "elu", "silu", "softplus", "mish", "softsign"])
def test_every_activation_is_followed(name):
    compare(recipe(activation=part(name, slope=0.01, alpha=1.3)))


@pytest.mark.few(2)
@pytest.mark.parametrize("initializer", INITIALIZERS, ids=lambda value: value["name"])
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_every_initializer_is_followed(name, initializer):
    compare(recipe(activation=part(name), initializer=initializer))


@pytest.mark.few(1)
@pytest.mark.parametrize("initializer", MORE, ids=lambda value: value["name"])
def test_initializers_that_differ_in_their_variance_only_are_followed(initializer):
    # deep in chaos (σ_w = 10, 34 in ln‖·‖²) terms of order 1/n² count
    per_block = 5 if initializer["name"] == "article_xavier" else 2
    compare(recipe(activation=part("tanh"), initializer=initializer), per_block=per_block)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "residual", [part("rezero"), part("layer_scale", start=0.3)], ids=lambda part: part["name"]
)
def test_learned_scales_are_followed_from_where_they_start(residual):
    prediction = compare(recipe(activation=part("relu"), residual=residual, initializer=MORE[-1]), share=0.02)
    if residual["name"] == "rezero":
        assert prediction.gain == 1
        assert not prediction.sd[:-1].round(50).any()


def test_weight_norm_starts_like_no_norm():
    plain, normed = (predict(recipe(normalization=part(name)), DATA) for name in ("none", "weight_norm"))
    np.testing.assert_array_equal(plain.log10_backward, normed.log10_backward)


@pytest.mark.few(2)
@pytest.mark.parametrize("normalization", NORMS, ids=lambda value: f"{value['name']}-{value['place']}")
@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid"])
def test_every_norm_is_followed_on_both_sides_of_the_activation(name, normalization):
    compare(recipe(activation=part(name), normalization=normalization), per_block=2)


@pytest.mark.few(2)
@pytest.mark.parametrize("residual", ["plain", "scaled"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_residual_networks_are_followed_though_the_mean_of_phi_adds_up(name, residual):
    he = part("he", distribution="normal")
    compare(recipe(activation=part(name, slope=0.01), initializer=he, residual=part(residual)), share=0.02)


@pytest.mark.few(2)
@pytest.mark.parametrize("normalization", NORMS, ids=lambda value: f"{value['name']}-{value['place']}")
def test_norms_inside_residual_blocks_are_followed(normalization):
    compare(recipe(activation=part("relu"), normalization=normalization, residual=part("plain")), share=0.06)


@pytest.mark.few(1)
@pytest.mark.parametrize("normalization", [part("none"), norm("batch", "before"), norm("layer", "after")])
def test_dropout_expands_forward_and_backward(normalization):
    compare(recipe(activation=part("tanh"), normalization=normalization, dropout=0.3), per_block=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "normalization", [part("none"), *NORMS], ids=lambda value: str(list(value.values())[:2])
)
@pytest.mark.parametrize("residual", ["none", "plain", "scaled"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_combination_is_followed(name, residual, normalization):
    settings = recipe(activation=part(name, slope=0.01), normalization=normalization, residual=part(residual))
    compare(settings, per_block=2, share=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("initializer", [INITIALIZERS[4], INITIALIZERS[5]], ids=lambda value: value["name"])
@pytest.mark.parametrize("name", ["linear", "tanh", "relu"])
def test_the_band_has_the_width_of_drawn_networks(name, initializer):
    settings = recipe(activation=part(name), initializer=initializer)
    drawn = draw_networks(settings, 60)[1][:, 0].std(ddof=1)  # its own error: 9 %
    assert predict(settings, DATA).sd[0] * SCALE == pytest.approx(drawn, rel=0.4, abs=1e-7)


@pytest.mark.few(1)
@pytest.mark.parametrize("residual", ["plain", "scaled"])
@pytest.mark.parametrize("name", ["sigmoid", "relu", "softplus"])
def test_the_band_of_a_residual_network_knows_that_its_gradients_are_alike(name, residual):
    """The mean of φ makes the logits of all examples alike, and with them the gradients of all."""
    he = part("he", distribution="normal")
    settings = recipe(activation=part(name), initializer=he, residual=part(residual), depth=12)
    drawn = draw_networks(settings, 60)[1][:, 0].std(ddof=1)
    assert predict(settings, DATA).sd[0] * SCALE == pytest.approx(drawn, rel=0.3)


@pytest.mark.parametrize(("name", "per_block"), [("relu", 5), ("linear", 2)])
def test_one_example_strays_by_the_textbook_variance(name, per_block):
    settings = recipe(
        activation=part(name), initializer=part("he", distribution="normal"), batch_size=1, width=5000
    )
    prediction = predict(settings, DATA)
    assert (prediction.sd[0] * SCALE) ** 2 == pytest.approx(
        per_block * 20 / 5000, rel=0.03
    )  # coherence: 1 % more


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("name", "sigma2", "ratio"),
    [("relu", 1.0, 2.98e-8), ("tanh", 2.0, 10.3), ("sigmoid", 1.0, 3.99e-32), ("selu", 1.0, 5.63)],
)
def test_fifty_wide_layers_lose_what_the_reference_says(name, sigma2, ratio):
    deep = recipe(
        activation=part(name),
        initializer=part("normal", sigma_w=math.sqrt(sigma2), sigma_b=0.0),
        depth=50,
        width=10**9,
    )
    prediction = predict(
        deep, DATA | {"second_moment": 1 / sigma2}
    )  # the input block's q is the reference's q⁰ = 1
    first = 0.5 * math.log(chi(activation(part(name)), 1.0, sigma2))
    rest = SCALE / 2 * (prediction.log10_backward[0] - prediction.log10_backward[49])
    assert math.exp(first + rest) == pytest.approx(ratio, rel=6e-3)  # three digits are printed


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("sigma2", "lengths", "ratio"),
    [
        (1 / 3, [0.4603, 0.2495, 0.1412, 0.0810, 0.0467], 0.0832),
        (1.0, [0.6279, 0.4863, 0.4082, 0.3576, 0.3216], 0.4098),
    ],
)
def test_glorot_and_bengio_are_repeated(sigma2, lengths, ratio):
    init = part("normal", sigma_w=math.sqrt(sigma2), sigma_b=0.0)
    prediction = predict(recipe(initializer=init, depth=4, width=10**9), DATA)
    np.testing.assert_allclose(10 ** prediction.log10_forward[:5], lengths, rtol=1e-3)
    factors = [chi(activation(part("tanh")), q, 1.0) for q in (sigma2, sigma2 * lengths[3] ** 2)]
    at_z = 10 ** prediction.log10_backward[0] * math.sqrt(
        factors[0] / factors[1]
    )  # the reference measures ∂L/∂z
    assert at_z == pytest.approx(ratio, rel=2e-3)


@pytest.mark.few(2)
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("size", [{"width": 1}, {"batch_size": 4}, {"depth": 1}, {"depth": 300, "width": 2}])
def test_extreme_sizes_give_numbers(name, size):
    for normalization in [part("none"), *NORMS]:
        for residual in ("none", "plain", "scaled"):
            act = part(name, slope=0.01)
            settings = recipe(activation=act, normalization=normalization, residual=part(residual), **size)
            prediction = predict(settings, DATA)
            assert np.isfinite([prediction.log10_forward, prediction.log10_backward, prediction.sd]).all()


def test_the_gain_has_no_drift_and_the_curve_has():
    settings = recipe(activation=part("relu"), initializer=part("he", distribution="normal"), depth=50)
    prediction = predict(settings, DATA)
    assert prediction.gain == pytest.approx(1, abs=1e-12)
    assert len(prediction.log10_gain) == 49
    assert len(prediction.layer) == len(prediction.sd) == len(prediction.log10_forward) == 52
    assert prediction.log10_backward[50] == prediction.sd[50] == 0


def test_signals_far_outside_the_floating_range_stay_finite():
    settings = recipe(activation=part("relu"), depth=10_000, residual=part("plain"))
    prediction = predict(settings, DATA)
    assert np.isfinite(prediction.log10_backward).all()
    assert prediction.log10_forward[-1] > 1000


def test_one_hidden_layer_has_a_curve_and_no_gain():
    prediction = predict(recipe(depth=1), DATA)
    assert math.isnan(prediction.gain)
    assert np.isfinite(prediction.log10_backward).all()


def test_a_width_too_small_for_the_expansion_is_noted():
    he = part("he", distribution="normal")
    assert "too small" in predict(recipe(activation=part("gelu"), initializer=he, depth=50), DATA).note
    assert "too small" not in predict(recipe(activation=part("relu"), initializer=he, depth=50), DATA).note


def test_a_recipe_that_theory_does_not_cover_has_a_reason():
    small = recipe(normalization=norm("batch", "before"), batch_size=3)
    biased = recipe(normalization=norm("batch", "after"), initializer=INITIALIZERS[1])
    groups = part("group", place="before", groups=2, epsilon=1e-5)
    cases = [(recipe(model=part("cnn")), "cnn"), (small, "examples"), (biased, "biases")]
    cases += [
        (recipe(model=part("mlp", branch=2)), "model.branch=2"),
        (recipe(normalization=groups), "group"),
    ]
    cases += [
        (recipe(initializer=part(name)), name.rstrip("s"))
        for name in ("zeros", "constant", "identity", "lsuv")
    ]
    names = ("fixup", "stochastic_depth", "pre_activation", "post_activation", "deepnorm")
    cases += [(recipe(residual=part(name)), name) for name in names]
    for settings, word in cases:
        assert word in unavailable(settings)
        assert predict(settings, DATA) is None
