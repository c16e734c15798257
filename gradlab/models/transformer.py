"""The Transformer: an input block with positions, `depth` equal blocks run by `lax.scan`, an output block."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.nn import normalize
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.model import model
from gradlab.nn.plan import Model, Plan
from gradlab.nn.sequence import steps
from gradlab.numerics.attention import attention
from gradlab.numerics.tree import Tree
from gradlab.parts.residuals import Site
from gradlab.recipe.bounds import Size
from gradlab.recipe.errors import RecipeError

Kind = Literal["auto", "encoder", "decoder"]
Order = Literal["pre", "post", "deepnorm"]
Positions = Literal["sinusoidal", "learned"]
ATTENTION = ("query", "key", "value", "out")


@model
def transformer(kind: Kind, order: Order, heads: Size, expansion: Size, positions: Positions) -> Model:
    """Blocks of attention and a feed-forward layer of expansion·width units (Vaswani et al. 2017).

    pre: h + f(norm(h)), and a last norm before the output; its last layers' gradients fall as 1/√L with L blocks.
    post: norm(h + f(h)), whose do not, which is why it needs a warmup (Xiong et al. 2020).
    deepnorm: norm(α·h + f(h)), α = (2L)^¼, and value, out and feed-forward kernels times (8L)^−¼ (Wang et al. 2022).
    The residual connection may be another (none: attention alone, whose rank collapses; Dong et al. 2021).
    encoder: every position sees all, the answer is of their mean; decoder: it sees those before it, the answer is
    of the last. auto: a decoder where every time step has a label.
    """

    def build(plan: Plan) -> list[Block]:
        _fits(plan, heads)
        the = Blocks(
            plan,
            order,
            heads,
            expansion,
            kind == "decoder" or (kind == "auto" and plan.each),
            positions == "learned",
        )
        return [
            Block(
                "input",
                the.start,
                lambda params, x, context: (_entered(plan, params, x), BlockAux({})),
                active=False,
            ),
            Block("block", the.draw, the.apply, plan.depth, metric_names=("attention_entropy",)),
            Block("output", the.end, the.answer, active=False),
        ]

    return build


def _fits(plan: Plan, heads: int) -> None:
    """Refuse what no block can be made of."""
    steps(plan)
    normalize.signals_only(plan)
    if plan.width % heads:
        raise RecipeError(f"shares width={plan.width} between {heads} heads; give a multiple of model.heads")
    if plan.normalization.place == "after":
        raise RecipeError("has its norms where model.order says; leave normalization.place=before")
    if plan.residual.form != "inside":
        raise RecipeError(
            "has branches with an order of their own, model.order; choose residual=plain, none, scaled, rezero, "
            "layer_scale or stochastic_depth"
        )
    if plan.initializer.mirrored:
        raise RecipeError("has linear maps before its activation, so initializer=looks_linear does not fit")


@dataclass(frozen=True)
class Blocks:
    """The blocks of one Transformer."""

    plan: Plan
    order: Order
    heads: int
    expansion: int
    causal: bool
    learned: bool  # positions, instead of sinusoids

    def start(self, key: Array) -> tuple[Tree, Tree]:
        """Tokens as vectors of N(0, 1), or a layer of weights for numbers; positions of N(0, 0.02²)."""
        plan, wide = self.plan, _wide(self.plan)
        tokens, places = jax.random.split(key)
        shape = (steps(plan), plan.width)
        learned = {"positions": 0.02 * jax.random.normal(places, shape, wide)} if self.learned else {}
        if plan.vocabulary:
            return learned | {"embedding": jax.random.normal(tokens, (plan.vocabulary, plan.width), wide)}, {}
        return learned | _linear(plan, "linear", tokens, (plan.shape[-1], plan.width)), {}

    def draw(self, key: Array) -> tuple[Tree, Tree]:
        """One block: four kernels of attention, two of the feed-forward layer, two norms."""
        plan = self.plan
        inner = self.expansion * plan.width
        scale = (8 * plan.depth) ** -0.25 if self.order == "deepnorm" else 1.0
        scale *= plan.residual.shrink(1, 1, plan.depth)
        keys = jax.random.split(key, 6)
        params: Tree = {}
        for name, one in zip(ATTENTION, keys, strict=False):
            own = scale if name in ("value", "out") else 1.0
            params |= _linear(plan, f"attention/{name}", one, (plan.width, plan.width), own)
        params |= _linear(plan, "feedforward/up", keys[4], (plan.width, inner), scale)
        params |= _linear(
            plan, "feedforward/down", keys[5], (inner * plan.activation.width_factor, plan.width), scale
        )
        stats: Tree = {}
        for place in (1, 2):
            norm, own = normalize.draw(plan, f"norm{place}/", plan.width)
            started = plan.residual.own(plan.width, 1)
            params |= norm | {f"residual{place}/{path}": value for path, value in started.items()}
            stats |= own
        return params, stats

    def apply(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        """Attention, then the feed-forward layer, each joined to h in the network's order."""
        run = _Run(self, params, context)
        h = run.joined(1, h, run.attend)
        h = run.joined(2, h, run.feed)
        return h, BlockAux(
            run.stats, run.slope, self.plan.activation.max_slope, {"attention_entropy": run.entropy}
        )

    def end(self, key: Array) -> tuple[Tree, Tree]:
        """The output's weights, and in pre order the last norm."""
        plan = self.plan
        params, stats = normalize.draw(plan, "norm/", plan.width) if self.order == "pre" else ({}, {})
        return params | _linear(plan, "linear", key, (plan.width, plan.outputs)), stats

    def answer(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        """W h + b at each position, at the last one, or of their mean."""
        stats: Tree = {}
        if self.order == "pre":
            h, stats = normalize.norm(self.plan, "norm/", (params, context.stats, context.train), h)
        if not self.plan.each:
            h = h[:, -1] if self.causal else jnp.mean(h, axis=1)
        return _weighed(params, "linear", h, context), BlockAux(stats, None, self.plan.activation.max_slope)


class _Run:
    """One pass through a block, which gathers what it tells."""

    def __init__(self, the: Blocks, params: Tree, context: BlockContext) -> None:
        self.the, self.params, self.context = the, params, context
        self.stats: Tree = {}
        self.slope: Array | None = None
        self.entropy: Any = 0.0

    def joined(self, place: int, h: Array, branch: Any) -> Array:
        """h and branch(h) in the network's order; `place` is the norm's number."""
        plan, order, context = self.the.plan, self.the.order, self.context
        key, start = jax.random.fold_in(context.key, place), f"residual{place}/"
        own = {
            path.removeprefix(start): value for path, value in self.params.items() if path.startswith(start)
        }
        inside = lambda h: branch(self.norm(place, h) if order == "pre" else h)
        keep = (2 * plan.depth) ** 0.25 if order == "deepnorm" else 1.0
        site = Site(context.layer, plan.depth, jax.random.fold_in(key, 1), context.train)
        # α stands on the skip alone: the branch sees h itself
        out = plan.residual.join(
            own, keep * h, lambda _: normalize.dropped(plan, inside(h), key, context.train), site
        )
        return out if order == "pre" else self.norm(place, out)

    def norm(self, place: int, h: Array) -> Array:
        """The plan's normalization of every position."""
        own = (self.params, self.context.stats, self.context.train)
        h, stats = normalize.norm(self.the.plan, f"norm{place}/", own, h)
        self.stats |= stats
        return h

    def attend(self, h: Array) -> Array:
        """Multi-head self-attention."""
        q, k, v = (_weighed(self.params, f"attention/{name}", h, self.context) for name in ATTENTION[:3])
        out, self.entropy = attention(q, k, v, self.the.heads, self.the.causal)
        return _weighed(self.params, "attention/out", out, self.context)

    def feed(self, h: Array) -> Array:
        """W_down φ(W_up h): its activation is the one that is measured."""
        z = self.context.tap(_weighed(self.params, "feedforward/up", h, self.context))
        h, slope = jax.jvp(self.the.plan.activation.phi, (z,), (jnp.ones_like(z),))
        self.slope = slope.reshape(-1, slope.shape[-1])
        return _weighed(self.params, "feedforward/down", h, self.context)


def _wide(plan: Plan) -> jnp.dtype:
    return jnp.promote_types(plan.dtype, jnp.float32)


def _linear(plan: Plan, name: str, key: Array, shape: tuple[int, int], scale: float = 1.0) -> Tree:
    """A layer's first weights, `scale` times what the initializer draws, and its bias."""
    kernel, bias = jax.random.split(key)
    drawn = {
        "kernel": scale * plan.initializer.kernel(kernel, shape),
        "bias": plan.initializer.bias(bias, shape[1:]),
    }
    return {f"{name}/{path}": value.astype(_wide(plan)) for path, value in drawn.items()}


def _weighed(params: Tree, name: str, h: Array, context: BlockContext) -> Array:
    kernel, bias = (params[f"{name}/{path}"].astype(h.dtype) for path in ("kernel", "bias"))
    return context.on_linear(f"{name}/kernel", h @ kernel + bias)


def _entered(plan: Plan, params: Tree, x: Array) -> Array:
    """Tokens or numbers as vectors, plus where they stand."""
    if plan.vocabulary:
        h = params["embedding"][x].astype(plan.dtype)
    else:
        kernel, bias = (params[f"linear/{path}"].astype(plan.dtype) for path in ("kernel", "bias"))
        h = x.astype(plan.dtype) @ kernel + bias
    places = params.get("positions", sinusoids(*h.shape[1:]))
    return h + jnp.asarray(places, h.dtype)


def sinusoids(times: int, width: int) -> np.ndarray:
    """sin(t·10000^(−2i/width)) in place 2i, its cosine in 2i + 1 (Vaswani et al. 2017)."""
    places = np.arange(width)
    angles = np.arange(times)[:, None] * 10000.0 ** (-2 * (places // 2) / width)
    return np.where(places % 2 == 0, np.sin(angles), np.cos(angles))
