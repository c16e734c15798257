"""The mean-field prediction for an mlp at initialization: forward and backward signal of every layer.

The forward signal starts from the second moment of the data, the backward signal from layer L; finite width is
included. All of it holds before training only.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.theory import coverage
from gradlab.theory.activations import NAMES
from gradlab.theory.backward import log_branch, log_factor
from gradlab.theory.fluctuation import FiniteWidth, finite_width
from gradlab.theory.forward import correlations, forward_signal, network_of
from gradlab.theory.kernel import activation_moments
from gradlab.theory.normalization import SMALLEST

_COVERED = {
    "model": {"mlp"},
    # `kernel` covers neither kinks away from 0, nor two slopes per unit, nor waves, nor squared lengths
    "activation": NAMES - {"hard_tanh", "step", "crelu", "sine", "squared_relu"},
    "initializer": set(
        "small_normal truncated_normal uniform normal critical xavier article_xavier he lecun orthogonal".split()
    ),
    "normalization": {"none", "batch", "layer", "rms", "weight_norm"},
    "residual": {"none", "plain", "scaled", "rezero", "layer_scale"},
    "loss": {"cross_entropy"},
}
_REASONS = {  # of options that are not covered
    "constant": "a constant kernel is not random: mean field needs independent weights",
    "zeros": "no signal passes through weights that are all zero",
    "identity": "an identity kernel is not random: mean field needs independent weights",
    "lsuv": "initializer=lsuv fits its weights to a batch",
    "fixup": "residual=fixup starts with an output of zero: no gradient comes back before the first update",
    "stochastic_depth": "residual=stochastic_depth draws the depth itself anew in each step",
    "post_activation": "residual=post_activation puts h through the activation: it is not Gaussian",
    "pre_activation": "no finite-width theory for residual=pre_activation; its gain is 1 + σ_w²·E φ'(h)² per block",
}
MOST_SECOND_ORDER = (
    0.2  # silu with He weights is at 0.25 and a decade off; what was measured right is below 0.1
)
_HALF_DECADE = 0.5 / math.log(10)  # ln‖·‖² -> log10‖·‖


@dataclass(frozen=True)
class Prediction:
    """The signal of a random network; layers 0 (input block) … L (last hidden) and L+1 (output).

    All arrays but `log10_gain` have shape (L + 2,). log10_forward, log10_backward: the mean of the logarithm over
    networks of this width (the drift included), of a whole batch; backward relative to layer L. `sd`: the standard
    deviation of log10_backward over random networks, growing away from layer L; `has_band`: whether mean ± 1.96 sd was
    found to hold about 95 % of measured networks (`coverage`). `log10_gain`: d_l for l = 2…L in the
    limit of infinite width, without drift or `coherence`; `gain` = 10^mean(d_l), NaN for a single hidden layer.
    """

    layer: np.ndarray
    log10_forward: np.ndarray
    log10_backward: np.ndarray
    sd: np.ndarray
    has_band: bool
    is_rough: bool  # the width is too small for this activation: the expansion in 1/width does not converge
    gain: float
    log10_gain: np.ndarray
    note: str


def unavailable(recipe: dict[str, Any]) -> str | None:
    """Why there is no prediction for this recipe, in one line; None where there is one."""
    for family, names in _COVERED.items():
        if (name := recipe[family]["name"]) not in names:
            return _REASONS.get(name, f"no mean-field theory for {family}={name}")
        for key, value in recipe[family].items():
            if isinstance(value, float) and value and not 1e-38 < abs(value) < 1e38:
                return f"{family}.{key}={value:g} is no number of float32"
    low, high = (recipe["initializer"].get(key, "auto") for key in ("low", "high"))
    if "auto" not in (low, high) and low != -high:
        return f"weights between {low:g} and {high:g} have a mean other than 0, which mean field takes for 0"
    if recipe["dropout"] and recipe.get("dropout_kind") == "alpha":
        return "no mean-field theory for dropout_kind=alpha"
    if isinstance(recipe["width"], list):
        return "no mean-field theory for layers of different widths"
    if recipe["model"].get("branch", 1) > 1:  # older recipes do not have it
        return f"no mean-field theory for model.branch={recipe['model']['branch']}"
    initializer, norm = recipe["initializer"], recipe["normalization"]
    if 0.0 in (initializer.get("sigma_w"), initializer.get("gain"), initializer.get("std")):
        return "no signal passes through weights that are all zero"
    if norm["name"] == "batch" and recipe["batch_size"] < SMALLEST:
        return f"batch norm over fewer than {SMALLEST} examples has no mean backward factor"
    if norm["name"] == "batch" and norm["place"] == "after" and initializer.get("sigma_b", 0.0) > 0:
        return "no theory for batch norm after the activation with random biases"
    return None


def predict(recipe: dict[str, Any], data: dict[str, Any]) -> Prediction | None:
    """The signal of the recipe's mlp at initialization; None where `unavailable` gives a reason or the inputs are zero.

    `recipe` as in recipe.yaml; of `data` (as in status.json) the features, outputs, second_moment and cosine.
    Formulas: `forward`, `backward` (means), `fluctuation`, `coherence` (finite width).
    """
    if unavailable(recipe) or not data["second_moment"]:
        return None
    network = network_of(recipe, data["features"], data["outputs"])
    forward = forward_signal(network, data["second_moment"], data["cosine"])
    centred = network.norm_place == "after" and network.norm == "layer"
    moments = activation_moments(network.act, forward.log_y, centred)
    pairs = correlations(network, forward, moments, data)
    beta = log_branch(network, forward, moments)
    factor = log_factor(network, beta)
    finite = finite_width(network, forward, moments, pairs, beta, data["outputs"])

    backward = np.append(np.cumsum(factor[:0:-1])[::-1], 0.0) + finite.shift
    bias = math.log(network.bias) if network.bias else -math.inf
    logits = np.logaddexp(math.log(network.logit_gain) + forward.log_h[-1] + finite.length_shift[-1], bias)
    gains = factor[2:] * _HALF_DECADE
    has_band = coverage.has_band(recipe)
    return Prediction(
        layer=np.arange(network.depth + 2),
        log10_forward=np.append(forward.log_h + finite.length_shift, logits) * _HALF_DECADE,
        log10_backward=np.append(backward, -math.log(network.logit_gain)) * _HALF_DECADE,
        sd=np.append(np.sqrt(finite.variance), 0.0) * _HALF_DECADE,
        has_band=has_band,
        is_rough=finite.second_order > MOST_SECOND_ORDER,
        gain=10 ** float(gains.mean()) if gains.size else math.nan,
        log10_gain=gains,
        note=_note(recipe, finite)
        + ("" if has_band else "; no band of 95 % in the profile: no measurement confirms it"),
    )


def _note(recipe: dict[str, Any], finite: FiniteWidth) -> str:
    note = f"mean field at initialization, width {recipe['width']}"
    if finite.second_order > MOST_SECOND_ORDER:
        return note + "; too small a width for this activation: gain and curve are rough estimates"
    if finite.coherent[0] > math.log(2):
        return note + "; the activation's mean adds a component to the signal that grows faster than the gain"
    if recipe["normalization"]["name"] == "batch":
        return note + "; batch norm as if all examples were equally different"
    return note
