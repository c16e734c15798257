"""Residual connections: how a hidden block joins its input h and its branch f(h). Gains are in the docstrings.

χ is the squared backward gain of the branch, L = depth the number of blocks, m = `model.branch` the layers of a branch.
The squared gain of a block is 1 + χ where its branch has mean zero over units, as with tanh. The mean of relu(W h), of
softplus or of sigmoid adds up from block to block, in h and in the gradient: then a block gains more, as `plain` says.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from gradlab.parts.family import Family
from gradlab.recipe.bounds import Bound, Positive

residual = Family("residual")
Params = dict[str, Array]  # the connection's learned parameters
Probability = Annotated[float, Bound(float, 0, 1, open_low=True)]  # (0, 1]


class Site(NamedTuple):
    """What a connection may know of its block: its number, how many there are, and its random key in this step."""

    layer: Array | int  # 1 … depth
    depth: int
    key: Array
    train: bool


class Residual(NamedTuple):
    """A residual connection; h and f(h) are (examples, …, width).

    join: (params, h, f(h), site) -> the block's output. init: (width, layers of the branch) -> its parameters.
    activation_place: in each layer of the branch after the weights, φ(W h), or before them, W φ(h); or after the sum.
    kernel_scale: (k, m, L) -> the factor of the initial kernel of a branch's layer k = 1 … m.
    output_scale: the factor of the output block's initial kernel.
    has_bias: whether the branch's layers have biases; has_skip: whether h itself is added.
    shifts: params -> (2·layers,), scalars added before every φ and every W of the branch; None: there are none.
    """

    join: Callable[[Params, Array, Array, Site], Array]
    init: Callable[[int, int], Params] = lambda width, layers: {}
    activation_place: Literal["after_weights", "before_weights", "after_sum"] = "after_weights"
    kernel_scale: Callable[[int, int, int], float] = lambda k, layers, depth: 1.0
    output_scale: float = 1.0
    has_bias: bool = True
    has_skip: bool = True
    shifts: Callable[[Params], Array | None] = lambda params: None


@residual
def none() -> Residual:
    """h' = f(h)."""
    return Residual(lambda params, h, branch, site: branch, has_skip=False)


@residual
def plain() -> Residual:
    """h' = h + f(h) (He et al. 2016): squared backward gain 1 + χ per block, so it explodes without scaling.

    For relu with He's weights, whose mean adds up, it is 2 at the last blocks and rises to 2.90 = s² towards the input,
    with s³ − s² − 2s + 2 = 2/π (the limit of many wide blocks).
    """
    return Residual(lambda params, h, branch, site: h + branch)


@residual
def scaled() -> Residual:
    """h' = h + f(h)/√L for L blocks: (1 + χ/L)^L ≤ e^χ at any depth (Yang & Schoenholz 2017).

    That holds for branches of mean zero. The means of relu add up in h: with He's weights the signal grows as
    e^√(L/π), and so does the gradient, once the means carry it.
    """
    return Residual(lambda params, h, branch, site: h + branch / site.depth**0.5)


@residual
def pre_activation() -> Residual:
    """h' = h + W φ(norm(h)) (He et al. 2016b): nothing acts on the skip, and the input block is linear.

    Squared backward gain 1 + σ_w²·E φ'² per block, E φ'² at h ~ N(0, q_l), q_l = q_{l−1} + σ_w²·E φ²: for ReLU
    1 + σ_w²/2. Behind batch normalization it is 1 + σ_w²·E φ'²/v_l with a variance v_l that grows with l:
    a power of depth and not an exponential.
    """
    return Residual(lambda params, h, branch, site: h + branch, activation_place="before_weights")


@residual
def post_activation() -> Residual:
    """h' = φ(h + norm(W h)) (He et al. 2016): φ acts on the skip too, so its slope acts on every path.

    Squared backward gain about E φ'²·(1 + σ_w²) per block; for ReLU E φ'² is above ½, since h ≥ 0.
    """
    return Residual(lambda params, h, branch, site: h + branch, activation_place="after_sum")


@residual
def rezero() -> Residual:
    """h' = h + α·f(h), α = 0 at the start and learned (Bachlechner et al. 2021): gain exactly 1 at any depth.

    SkipInit (De & Smith 2020) is the same scalar. At α = 0 the branch's weights have no gradient, only α has.
    """
    zero = lambda width, layers: {"alpha": jnp.zeros(())}
    return Residual(lambda params, h, branch, site: h + params["alpha"].astype(h.dtype) * branch, zero)


@residual
def layer_scale(start: Positive) -> Residual:
    """h' = h + γ∘f(h), γ a learned vector that starts at `start` (Touvron et al. 2021).

    Squared backward gain 1 + start²·χ per block. The article's start: 0.1 to depth 18, 1e-5 at 24, 1e-6 beyond.
    """
    gamma = lambda width, layers: {"gamma": jnp.full((width,), start)}
    return Residual(lambda params, h, branch, site: h + params["gamma"].astype(h.dtype) * branch, gamma)


@residual
def fixup() -> Residual:
    """h' = h + c·f(h), f = W_m φ(… W_1 φ(h)) with scalar biases before every φ and W (Zhang et al. 2019).

    At the start a branch's first m − 1 kernels are the initializer's times L^(−1/(2m−2)), its last and the
    head's are 0, biases 0, the multiplier c 1: the gain is exactly 1, and training needs no normalization.
    With m = 1 only the zero layer is left. No gradient reaches the blocks before the head has moved.
    """

    def join(params: Params, h: Array, branch: Array, site: Site) -> Array:
        return h + params["multiplier"].astype(h.dtype) * branch

    def init(width: int, layers: int) -> Params:
        return {"multiplier": jnp.ones(()), "biases": jnp.zeros((2 * layers,))}

    def kernel_scale(k: int, layers: int, depth: int) -> float:
        return depth ** (-1 / (2 * layers - 2)) if k < layers else 0.0

    return Residual(
        join,
        init,
        activation_place="before_weights",
        kernel_scale=kernel_scale,
        output_scale=0.0,
        has_bias=False,
        shifts=lambda params: params["biases"],
    )


@residual
def stochastic_depth(survival: Probability) -> Residual:
    """h' = h + b·f(h), b ~ Bernoulli(p_l) anew in each block and step, p_l = 1 − (l/L)(1 − p_L), p_L = `survival`.

    Evaluation takes the mean p_l·f(h) (Huang et al. 2016). Mean squared backward gain 1 + p_l·χ per block.
    """

    def join(params: Params, h: Array, branch: Array, site: Site) -> Array:
        probability = 1 - site.layer / site.depth * (1 - survival)
        factor = jax.random.bernoulli(site.key, probability) if site.train else probability
        return h + jnp.asarray(factor).astype(h.dtype) * branch

    return Residual(join)


@residual
def deepnorm(epsilon: Positive) -> Residual:
    """h' = LayerNorm(α·h + f(h)), α = (2L)^¼, the branch's kernels drawn times (8L)^(−¼) (Wang et al. 2022).

    Squared backward gain (α² + χ)/(α² + E f²) for that scaled branch: 1 + O(1/L) per block, e^O(1) over L blocks.
    The article counts Transformer layers (two branches each) where this counts blocks.
    """

    def join(params: Params, h: Array, branch: Array, site: Site) -> Array:
        norm = nnx.LayerNorm(
            h.shape[-1], epsilon=epsilon, dtype=h.dtype, use_fast_variance=False, rngs=nnx.Rngs(0)
        )
        norm.scale, norm.bias = nnx.Param(params["scale"]), nnx.Param(params["bias"])
        normalized: Array = norm((2 * site.depth) ** 0.25 * h + branch)
        return normalized

    def init(width: int, layers: int) -> Params:
        return {"scale": jnp.ones((width,)), "bias": jnp.zeros((width,))}

    return Residual(join, init, kernel_scale=lambda k, layers, depth: (8 * depth) ** -0.25)
