"""The forward walk through an mlp at initialization: every block's second moment, mean and likeness."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradlab.theory.activations import Activation, activation
from gradlab.theory.kernel import DEGREE, Moments, length
from gradlab.theory.normalization import BatchStatistics, batch_statistics

Recipe = dict[str, Any]
# the variance of a standard normal cut at two deviations: 1 − 4φ(2)/(2Φ(2) − 1)
TRUNCATED = 0.7737413035499232


def weight_variance(initializer: dict[str, Any], fan_in: int, fan_out: int) -> float:
    """Var W of a (fan_in, fan_out) kernel. An orthogonal rectangular one has gain²/max(fan_in, fan_out)."""
    # recipes of older versions may lack these three
    options: dict[str, Any] = {"gain": 1.0, "mode": "fan_in", "slope": 0.0} | initializer
    gain: float = options["gain"]
    scale: float = options.get("std", options.get("scale", 0.0))
    slope: float = options["slope"]
    match initializer["name"]:
        case "small_normal":
            return scale**2
        case "truncated_normal":
            return TRUNCATED * scale**2
        case "uniform":
            return scale**2 / 3
        case "normal" | "critical":
            sigma_w: float = options["sigma_w"]
            return sigma_w**2 / fan_in
        case "article_xavier":
            return fan_in / fan_out
        case "xavier":
            return 2 * gain**2 / (fan_in + fan_out)
        case "he":
            return 2 / (1 + slope**2) / (fan_in if options["mode"] == "fan_in" else fan_out)
        case "lecun":
            return 1 / fan_in
    return gain**2 / max(fan_in, fan_out)  # orthogonal


def branch_factor(residual: dict[str, Any], depth: int) -> float:
    """α of h + α·f(h) at the start; 0 where there is no residual, and so little as to be nothing for ReZero's 0."""
    match residual["name"]:
        case "none":
            return 0.0
        case "scaled":
            return depth**-0.5
        case "rezero":
            return 1e-60
        case "layer_scale":
            start: float = residual["start"]
            return start
    return 1.0  # plain


@dataclass(frozen=True)
class Network:
    """What the walk needs of a recipe: numbers, and which norm stands where."""

    act: Activation
    norm: str
    place: str
    epsilon: float
    depth: int
    width: int
    batch: int
    kept: float  # 1 − dropout
    branch: float  # α: the residual branch's factor; 0 where there is no residual
    weight: float  # σ_w² of a hidden block
    bias: float  # σ_b²
    orthogonal: bool
    input_gain: float  # features·Var W of the input block
    logit_gain: float  # width·Var W of the output block


def network_of(recipe: Recipe, features: int, classes: int) -> Network:
    """The recipe in the walk's own words."""
    norm, initializer = recipe["normalization"], recipe["initializer"]
    width, depth = recipe["width"], recipe["depth"]
    signal = norm["name"] not in ("none", "weight_norm")  # which begins as the drawn kernel itself
    return Network(
        act=activation(recipe["activation"]),
        norm=norm["name"] if signal else "none",
        place=norm["place"] if signal else "none",
        epsilon=norm["epsilon"] if signal else 0.0,
        depth=depth,
        width=width,
        batch=recipe["batch_size"],
        kept=1 - recipe["dropout"],
        branch=branch_factor(recipe["residual"], depth),
        weight=width * weight_variance(initializer, width, width),
        bias=initializer.get("sigma_b", 0.0) ** 2,
        orthogonal=initializer["name"] == "orthogonal",
        input_gain=features * weight_variance(initializer, features, width),
        logit_gain=width * weight_variance(initializer, width, classes),
    )


@dataclass(frozen=True)
class Forward:
    """Blocks 0…L, natural logarithms; f is the branch (after norm and dropout), h the block's output."""

    log_q: np.ndarray  # variance of z
    log_y: np.ndarray  # variance of the activation's input: q, or about 1 after a norm
    log_scale: np.ndarray  # ln of the variance that the norm divides by, its ε included; 0 without a norm
    log_f: np.ndarray  # E f²
    mean_f: np.ndarray  # E f/√E f²
    log_h: np.ndarray  # E h²
    mean_h: np.ndarray  # E h/√E h²
    ratio: np.ndarray  # α·√(E f²/E h²) with h before the block; inf without a residual
    batches: list[BatchStatistics]  # of batch norm before the activation, else empty


def _log_add(a: float, b: float) -> float:
    return float(np.logaddexp(a, math.log(b))) if b > 0 else a


@dataclass
class _Branch:
    log_y: float
    log_scale: float
    log_f: float
    mean_f: float
    varied: float = 0.0  # variance of f over the batch in one direction
    batch: BatchStatistics | None = None


def _through_batch(the: Network, varied: float) -> _Branch:
    """Batch norm, then φ. `varied`: σ_w² times the incoming variance over the batch."""
    usual = max(varied, 1e-300) * (the.batch - 1) / the.batch
    lost = float(f"{the.epsilon / (usual + the.epsilon):.2g}")  # two digits: few spheres to integrate
    found = batch_statistics(the.act, the.batch, 1 - lost)
    log_scale = math.log(usual * (the.batch - 3) / (the.batch - 1) + the.epsilon)  # 1/E[1/σ̂²]
    second = found.second / the.kept
    mean = found.mean / math.sqrt(second)
    return _Branch(math.log1p(-lost), log_scale, math.log(second), mean, second - found.pair, found)


def _through(the: Network, log_q: float, varied: float) -> _Branch:
    """One branch f = dropout(norm(φ(norm(z)))) for z of variance e^log_q."""
    if (the.norm, the.place) == ("batch", "before"):
        return _through_batch(the, varied)
    log_y, log_scale = log_q, 0.0
    if the.place == "before":
        log_scale = _log_add(log_q, the.epsilon)
        log_y = log_q - log_scale
    log_f, mean = length(the.act, log_y)
    if the.place == "after":
        spread = log_f + (math.log1p(-min(mean**2, 1 - 1e-15)) if the.norm != "rms" else 0.0)
        log_scale = _log_add(spread, the.epsilon)
        log_f, mean = (log_f if the.norm == "rms" else spread) - log_scale, mean * (the.norm == "rms")
    varied = math.exp(log_f) * (1 / the.kept + 1 / (the.batch - 1)) if the.norm == "batch" else 0.0
    return _Branch(log_y, log_scale, log_f - math.log(the.kept), mean * math.sqrt(the.kept), varied)


def _same(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x == y or abs(x - y) < 1e-14 * abs(y) for x, y in zip(a, b, strict=True))


def forward(the: Network, second_moment: float, cosine: float) -> Forward:
    """Walks blocks 0…L from the data's own second moment and the mean cosine of two inputs.

    With a residual E h² grows by α²·E f² + 2α·E h·E f: z is symmetric given h, so only the means add up.
    """
    log_q = _log_add(math.log(the.input_gain * second_moment), the.bias)
    varied = the.input_gain * second_moment * (1 - cosine)
    rows: list[tuple[float, ...]] = []
    batches: list[BatchStatistics] = []
    log_h = mean_h = spread = 0.0
    for block in range(the.depth + 1):
        if block and len(rows) > 1 and not the.branch and rows[-1] == rows[-2]:
            rows.append(rows[-1])  # settled: the rest is the same
            batches += batches[-1:]
            continue
        if block:
            log_q, varied = _log_add(math.log(the.weight) + log_h, the.bias), the.weight * spread
        f = _through(the, log_q, varied)
        batches += [f.batch] if f.batch else []
        ratio = math.inf
        if block and the.branch:
            ratio = the.branch * math.exp((f.log_f - log_h) / 2)
            grown = 1 + ratio**2 + 2 * ratio * mean_h * f.mean_f
            mean_h = (mean_h + ratio * f.mean_f) / math.sqrt(grown)
            log_h, spread = log_h + math.log(grown), spread + the.branch**2 * f.varied
        else:
            log_h, mean_h, spread = f.log_f, f.mean_f, f.varied
        row = (log_q, f.log_y, f.log_scale, f.log_f, f.mean_f, log_h, mean_h, ratio)
        rows.append(rows[-1] if rows and _same(row, rows[-1]) else row)
    log_q_, log_y, log_scale, log_f, mean_f, log_h_, mean_h_, ratios = np.array(rows).T
    return Forward(log_q_, log_y, log_scale, log_f, mean_f, log_h_, mean_h_, ratios, batches)


def correlations(the: Network, walk: Forward, found: Moments, cosine: float) -> np.ndarray:
    """c of the activation's inputs for two examples, block by block, from the data's mean cosine."""
    if the.norm == "batch":
        return np.full(the.depth + 1, -1 / (the.batch - 1))
    share = 1 - the.bias * np.exp(-np.maximum(walk.log_q, -700.0))
    powers = np.arange(DEGREE + 2)
    result = np.empty(the.depth + 1)
    c_h = cosine
    for block in range(the.depth + 1):
        c = result[block] = share[block] * c_h + 1 - share[block]
        c_f, ratio = float(found.phi[block] @ c**powers) * the.kept, walk.ratio[block]
        if not the.branch or not block:
            c_h = c_f
            continue
        shared = 2 * ratio * walk.mean_f[block] * walk.mean_h[block - 1]
        c_h = (c_h + ratio**2 * c_f + shared) * math.exp(walk.log_h[block - 1] - walk.log_h[block])
    return result
