"""The forward signal of an mlp at initialization: second moment, mean and correlation of two inputs per block."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradlab.theory.activations import Activation, activation
from gradlab.theory.kernel import DEGREE, Moments, length_and_mean
from gradlab.theory.normalization import BatchStatistics, batch_statistics

# the variance of a standard normal cut at two deviations: 1 − 4φ(2)/(2Φ(2) − 1)
TRUNCATED = 0.7737413035499232


def weight_variance(initializer: dict[str, Any], fan_in: int, fan_out: int) -> float:
    """Var W of a (fan_in, fan_out) kernel. An orthogonal rectangular one has gain²/max(fan_in, fan_out)."""
    # older recipes may not have these three keys
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
            low, high = options.get("low", "auto"), options.get("high", "auto")
            return scale**2 / 3 if "auto" in (low, high) else (high - low) ** 2 / 12
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
    """α of h + α·f(h) at the start; 0 without a residual, and 1e-60 for the 0 of ReZero, whose logarithm is finite."""
    match residual["name"]:
        case "none":
            return 0.0
        case "scaled":
            return float(depth**-0.5)
        case "rezero":
            return 1e-60
        case "layer_scale":
            start: float = residual["start"]
            return start
    return 1.0  # plain


@dataclass(frozen=True)
class Network:
    """The numbers of a recipe on which the signals of its mlp depend."""

    act: Activation
    norm: str  # "batch", "layer", "rms" or "none"
    norm_place: str  # "before" or "after" the activation, or "none"
    epsilon: float
    depth: int
    width: int
    batch: int
    keep_rate: float  # 1 − dropout
    branch: float  # α: the residual branch's factor; 0 where there is no residual
    weight: float  # σ_w² of a hidden block
    bias: float  # σ_b²
    orthogonal: bool
    input_gain: float  # features·Var W of the input block
    logit_gain: float  # width·Var W of the output block


def network_of(recipe: dict[str, Any], features: int, classes: int) -> Network:
    """The network of a recipe, as in recipe.yaml, for data of these numbers of features and classes."""
    norm, initializer = recipe["normalization"], recipe["initializer"]
    width, depth = recipe["width"], recipe["depth"]
    # weight norm begins as the initialized kernel itself
    normalizes_signal = norm["name"] not in ("none", "weight_norm")
    return Network(
        act=activation(recipe["activation"]),
        norm=norm["name"] if normalizes_signal else "none",
        norm_place=norm["place"] if normalizes_signal else "none",
        epsilon=norm["epsilon"] if normalizes_signal else 0.0,
        depth=depth,
        width=width,
        batch=recipe["batch_size"],
        keep_rate=1 - recipe["dropout"],
        branch=branch_factor(recipe["residual"], depth),
        weight=width * weight_variance(initializer, width, width),
        bias=initializer.get("sigma_b", 0.0) ** 2,
        orthogonal=initializer["name"] == "orthogonal",
        input_gain=features * weight_variance(initializer, features, width),
        logit_gain=width * weight_variance(initializer, width, classes),
    )


@dataclass(frozen=True)
class ForwardSignal:
    """Arrays of shape (L + 1,) for blocks 0…L, with natural logarithms.

    z is the pre-activation, f the branch (after norm and dropout), h the block's output.
    """

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
    batch_variance: float = 0.0  # of f over the batch in one direction
    statistics: BatchStatistics | None = None


def _batch_norm_branch(network: Network, batch_variance: float) -> _Branch:
    """Batch norm, then φ. `batch_variance`: σ_w² times the incoming variance over the batch."""
    expected = max(batch_variance, 1e-300) * (network.batch - 1) / network.batch
    # the share of ε in the divisor, rounded to two digits so that few spheres are integrated
    epsilon_share = float(f"{network.epsilon / (expected + network.epsilon):.2g}")
    statistics = batch_statistics(network.act, network.batch, 1 - epsilon_share)
    log_scale = math.log(expected * (network.batch - 3) / (network.batch - 1) + network.epsilon)  # 1/E[1/σ̂²]
    second = statistics.second / network.keep_rate
    return _Branch(
        log_y=math.log1p(-epsilon_share),
        log_scale=log_scale,
        log_f=math.log(second),
        mean_f=statistics.mean / math.sqrt(second),
        batch_variance=second - statistics.pair,
        statistics=statistics,
    )


def _branch(network: Network, log_q: float, batch_variance: float) -> _Branch:
    """One branch f = dropout(norm(φ(norm(z)))) for z of variance e^log_q."""
    if (network.norm, network.norm_place) == ("batch", "before"):
        return _batch_norm_branch(network, batch_variance)
    log_y, log_scale = log_q, 0.0
    if network.norm_place == "before":
        log_scale = _log_add(log_q, network.epsilon)
        log_y = log_q - log_scale
    log_f, mean = length_and_mean(network.act, log_y)
    if network.norm_place == "after":
        log_variance = log_f + (math.log1p(-min(mean**2, 1 - 1e-15)) if network.norm != "rms" else 0.0)
        log_scale = _log_add(log_variance, network.epsilon)
        log_f = (log_f if network.norm == "rms" else log_variance) - log_scale
        mean = mean * (network.norm == "rms")
    variance = 0.0
    if network.norm == "batch":
        variance = math.exp(log_f) * (1 / network.keep_rate + 1 / (network.batch - 1))
    return _Branch(
        log_y=log_y,
        log_scale=log_scale,
        log_f=log_f - math.log(network.keep_rate),
        mean_f=mean * math.sqrt(network.keep_rate),
        batch_variance=variance,
    )


def _same(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x == y or abs(x - y) < 1e-14 * abs(y) for x, y in zip(a, b, strict=True))


def forward_signal(network: Network, second_moment: float, cosine: float) -> ForwardSignal:
    """The signal of blocks 0…L, from the second moment of the data and the mean cosine of two inputs.

    With a residual E h² grows by α²·E f² + 2α·E h·E f: z is symmetric given h, so only the means add up.
    """
    log_q = _log_add(math.log(network.input_gain * second_moment), network.bias)
    batch_variance = network.input_gain * second_moment * (1 - cosine)
    rows: list[tuple[float, ...]] = []
    batches: list[BatchStatistics] = []
    log_h = mean_h = h_batch_variance = 0.0
    for block in range(network.depth + 1):
        if block and len(rows) > 1 and not network.branch and rows[-1] == rows[-2]:
            rows.append(rows[-1])  # at a fixed point: the rest is the same
            batches += batches[-1:]
            continue
        if block:
            log_q, batch_variance = (
                _log_add(math.log(network.weight) + log_h, network.bias),
                network.weight * h_batch_variance,
            )
        f = _branch(network, log_q, batch_variance)
        batches += [f.statistics] if f.statistics else []
        ratio = math.inf
        if block and network.branch:
            ratio = network.branch * math.exp((f.log_f - log_h) / 2)
            grown = 1 + ratio**2 + 2 * ratio * mean_h * f.mean_f
            mean_h = (mean_h + ratio * f.mean_f) / math.sqrt(grown)
            log_h, h_batch_variance = (
                log_h + math.log(grown),
                h_batch_variance + network.branch**2 * f.batch_variance,
            )
        else:
            log_h, mean_h, h_batch_variance = f.log_f, f.mean_f, f.batch_variance
        row = (log_q, f.log_y, f.log_scale, f.log_f, f.mean_f, log_h, mean_h, ratio)
        rows.append(rows[-1] if rows and _same(row, rows[-1]) else row)
    columns = np.array(rows).T
    return ForwardSignal(
        log_q=columns[0],
        log_y=columns[1],
        log_scale=columns[2],
        log_f=columns[3],
        mean_f=columns[4],
        log_h=columns[5],
        mean_h=columns[6],
        ratio=columns[7],
        batches=batches,
    )


class Pairs(NamedTuple):
    """Kinds of pairs of examples: c (kinds, L + 2) of the activation's inputs in blocks 0…L and of the logits."""

    c: np.ndarray
    weights: np.ndarray


def correlations(network: Network, forward: ForwardSignal, moments: Moments, data: dict[str, Any]) -> Pairs:
    """How alike the signals of two examples are, from the mean and the spread of the data's cosines.

    Of inputs with mean cosine m and effective rank r, the cosine of two has mean square m² + (1 − m)²/r about: three
    kinds of pairs, those of a Gauss–Hermite rule, have that mean and mean square. Without r all pairs are alike.
    """
    if network.norm == "batch":
        return Pairs(np.full((1, network.depth + 2), -1 / (network.batch - 1)), np.ones(1))
    mean, rank = data["cosine"], data.get("effective_rank")  # older runs have no rank
    spread = 0.0 if rank is None else (1 - mean) * math.sqrt(3 / max(rank, 1.0))
    cosines = [mean] if not spread else np.clip([mean, mean - spread, mean + spread], -1, 1)
    c = np.stack([_correlation(network, forward, moments, cosine) for cosine in cosines])
    return Pairs(c, np.array([4.0, 1.0, 1.0][: len(c)]))


def _correlation(network: Network, forward: ForwardSignal, moments: Moments, cosine: float) -> np.ndarray:
    """c of one kind of pair, shape (L + 2,), from the cosine of the two inputs."""
    share = 1 - network.bias * np.exp(-np.maximum(forward.log_q, -700.0))
    powers = np.arange(DEGREE + 2)
    result = np.empty(network.depth + 2)
    c_h = cosine
    for block in range(network.depth + 1):
        c = result[block] = share[block] * c_h + 1 - share[block]
        c_f, ratio = float(moments.phi[block] @ c**powers) * network.keep_rate, forward.ratio[block]
        if not network.branch or not block:
            c_h = c_f
            continue
        shared = 2 * ratio * forward.mean_f[block] * forward.mean_h[block - 1]
        c_h = (c_h + ratio**2 * c_f + shared) * math.exp(forward.log_h[block - 1] - forward.log_h[block])
    result[-1] = c_h
    return result
