"""Residual connections: how a hidden block joins its input h and its branch f(h). Gains are in the docstrings.

χ is the branch's squared backward gain, L = depth the number of blocks, m = `model.branch` the layers of a branch.
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
UserFunction = dict[str, Array]  # the connection's own parameters
Chance = Annotated[float, Bound(float, 0, 1, open_low=True)]  # (0, 1]


class Site(NamedTuple):
    """Where a block stands, and what it may draw from."""

    layer: Array | int  # 1 … depth
    depth: int
    key: Array
    train: bool


class Residual(NamedTuple):
    """`join(own, h, branch, site)` is the block's output; branch(h) is f(h).

    `own(width, layers)`: its parameters at the start. `form`: where the activation stands, in each layer after
    the weights (φ(W h), "inside"), before them (W φ(h), "first"), or at last after the sum ("outside").
    `shrink(k, m, L)` multiplies the initial kernel of a branch's layer k = 1 … m, `head` the output block's.
    """

    join: Callable[[UserFunction, Array, Callable[..., Array], Site], Array]
    own: Callable[[int, int], UserFunction] = lambda width, layers: {}
    form: Literal["inside", "first", "outside"] = "inside"
    shrink: Callable[[int, int, int], float] = lambda k, layers, depth: 1.0
    head: float = 1.0
    bias: bool = True  # whether the branch's layers have biases of their own
    skip: bool = True  # whether h itself is carried on
    # its parameters -> (2·layers,): scalars that are added before every φ and every W of the branch
    shifts: Callable[[dict[str, Array]], Array | None] = lambda params: None


@residual
def none() -> Residual:
    """h' = f(h)."""
    return Residual(lambda own, h, branch, site: branch(h), skip=False)


@residual
def plain() -> Residual:
    """h' = h + f(h) (He et al. 2016): squared backward gain 1 + χ a block, so it explodes without scaling."""
    return Residual(lambda own, h, branch, site: h + branch(h))


@residual
def scaled() -> Residual:
    """h' = h + f(h)/√L for L blocks: (1 + χ/L)^L ≤ e^χ at any depth (Yang & Schoenholz 2017)."""
    return Residual(lambda own, h, branch, site: h + branch(h) / site.depth**0.5)


@residual
def pre_activation() -> Residual:
    """h' = h + W φ(norm(h)) (He et al. 2016b): nothing stands on the skip, and the input block is linear.

    Squared backward gain 1 + σ_w²·E φ'² a block, E φ'² at h ~ N(0, q_l), q_l = q_{l−1} + σ_w²·E φ²: for ReLU
    1 + σ_w²/2. Behind batch normalization it is 1 + σ_w²·E φ'²/v_l with a variance v_l that grows with l:
    a power of depth and not an exponential.
    """
    return Residual(lambda own, h, branch, site: h + branch(h), form="first")


@residual
def post_activation() -> Residual:
    """h' = φ(h + norm(W h)) (He et al. 2016): φ stands on the skip too, so its slope acts on every path.

    Squared backward gain about E φ'²·(1 + σ_w²) a block; for ReLU E φ'² is above ½, since h ≥ 0.
    """
    return Residual(lambda own, h, branch, site: h + branch(h), form="outside")


@residual
def rezero() -> Residual:
    """h' = h + α·f(h), α = 0 at the start and learned (Bachlechner et al. 2021): gain exactly 1 at any depth.

    SkipInit (De & Smith 2020) is the same scalar. At α = 0 the branch's weights have no gradient, only α has.
    """
    zero = lambda width, layers: {"alpha": jnp.zeros(())}
    return Residual(lambda own, h, branch, site: h + own["alpha"].astype(h.dtype) * branch(h), zero)


@residual
def layer_scale(start: Positive) -> Residual:
    """h' = h + γ∘f(h), γ a learned vector that starts at `start` (Touvron et al. 2021).

    Squared backward gain 1 + start²·χ a block. The article's start: 0.1 to depth 18, 1e-5 at 24, 1e-6 beyond.
    """
    gamma = lambda width, layers: {"gamma": jnp.full((width,), start)}
    return Residual(lambda own, h, branch, site: h + own["gamma"].astype(h.dtype) * branch(h), gamma)


@residual
def fixup() -> Residual:
    """h' = h + c·f(h), f = W_m φ(… W_1 φ(h)) with scalar biases before every φ and W (Zhang et al. 2019).

    At the start a branch's first m − 1 kernels are the initializer's times L^(−1/(2m−2)), its last and the
    head's are 0, biases 0, the multiplier c 1: the gain is exactly 1, and training needs no normalization.
    With m = 1 only the zero layer is left. No gradient reaches the blocks before the head has moved.
    """

    def join(own: UserFunction, h: Array, branch: Callable[..., Array], site: Site) -> Array:
        return h + own["multiplier"].astype(h.dtype) * branch(h)

    def own(width: int, layers: int) -> UserFunction:
        return {"multiplier": jnp.ones(()), "biases": jnp.zeros((2 * layers,))}

    def shrink(k: int, layers: int, depth: int) -> float:
        return depth ** (-1 / (2 * layers - 2)) if k < layers else 0.0

    return Residual(join, own, "first", shrink, head=0.0, bias=False, shifts=lambda params: params["biases"])


@residual
def stochastic_depth(survival: Chance) -> Residual:
    """h' = h + b·f(h), b ~ Bernoulli(p_l) anew in each block and step, p_l = 1 − (l/L)(1 − p_L), p_L = `survival`.

    Evaluation takes the mean p_l·f(h) (Huang et al. 2016). Mean squared backward gain 1 + p_l·χ a block.
    """

    def join(own: UserFunction, h: Array, branch: Callable[..., Array], site: Site) -> Array:
        share = 1 - site.layer / site.depth * (1 - survival)
        kept = jax.random.bernoulli(site.key, share) if site.train else share
        return h + jnp.asarray(kept).astype(h.dtype) * branch(h)

    return Residual(join)


@residual
def deepnorm(epsilon: Positive) -> Residual:
    """h' = LayerNorm(α·h + f(h)), α = (2L)^¼, the branch's kernels drawn times (8L)^(−¼) (Wang et al. 2022).

    Squared backward gain (α² + χ)/(α² + E f²) for that scaled branch: 1 + O(1/L) a block, e^O(1) over L blocks.
    The article counts Transformer layers (two branches each) where this counts blocks.
    """

    def join(own: UserFunction, h: Array, branch: Callable[..., Array], site: Site) -> Array:
        norm = nnx.LayerNorm(
            h.shape[-1], epsilon=epsilon, dtype=h.dtype, use_fast_variance=False, rngs=nnx.Rngs(0)
        )
        norm.scale, norm.bias = nnx.Param(own["scale"]), nnx.Param(own["bias"])
        return norm((2 * site.depth) ** 0.25 * h + branch(h))

    def own(width: int, layers: int) -> UserFunction:
        return {"scale": jnp.ones((width,)), "bias": jnp.zeros((width,))}

    return Residual(join, own, shrink=lambda k, layers, depth: (8 * depth) ** -0.25)
