"""The Transformer: an input block with positions, `depth` equal blocks run by `lax.scan`, an output block."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from gradlab.nn import normalize
from gradlab.nn.chain import Attention, Block, BlockAux, BlockContext
from gradlab.nn.model import Model, Plan, model
from gradlab.nn.sequence import Unsupported, require_supported, time_steps
from gradlab.numerics.attention import attention
from gradlab.numerics.tree import Tree, prefixed, under
from gradlab.parts.residuals import Site
from gradlab.recipe.bounds import Size
from gradlab.recipe.errors import RecipeError

Reader = Literal["auto", "encoder", "decoder"]
Order = Literal["pre", "post", "deepnorm"]
Positions = Literal["sinusoidal", "learned"]
ATTENTION = ("query", "key", "value", "out")

UNSUPPORTED = Unsupported(
    norm_after="has its norms where model.order says; leave normalization.place=before",
    residual_order="has branches with an order of their own, model.order; choose residual=plain, none, scaled, "
    "rezero, layer_scale or stochastic_depth",
    mirrored="has linear maps before its activation, so initializer=looks_linear does not fit",
)


@model
def transformer(kind: Reader, order: Order, heads: Size, expansion: Size, positions: Positions) -> Model:
    """Blocks of attention and a feed-forward layer of expansion·width units (Vaswani et al. 2017).

    pre: h + f(norm(h)), and a last norm before the output; its last layers' gradients fall as 1/√L with L blocks.
    post: norm(h + f(h)), whose last layers' gradients do not fall, so that it needs a warmup (Xiong et al. 2020).
    deepnorm: norm(α·h + f(h)), α = (2L)^¼, and value, out and feed-forward kernels times (8L)^−¼ (Wang et al. 2022).
    The residual connection may be another (none: attention alone, whose rank collapses; Dong et al. 2021).
    encoder: every position attends to all, the output is that of their mean; decoder: it attends to itself and those
    before it, the output is that of the last one. auto: a decoder where every time step has a label.

    The returned function raises RecipeError where the heads do not divide the width, or a part is not supported.
    """

    def build(plan: Plan) -> list[Block]:
        time_steps(plan)
        require_supported(plan, UNSUPPORTED)
        if plan.width % heads:
            raise RecipeError(f"splits width={plan.width} into {heads} heads; give a multiple of model.heads")
        network = Transformer(
            plan=plan,
            order=order,
            heads=heads,
            expansion=expansion,
            causal=kind == "decoder" or (kind == "auto" and plan.label_per_step),
            learned_positions=positions == "learned",
        )
        return [
            Block("input", network.init_input, network.embed, active=False),
            Block(
                "block",
                network.init_block,
                network.run_block,
                plan.depth,
                metric_names=("attention_entropy",),
                attention=Attention(
                    heads, network.causal, query="attention/query/kernel", key="attention/key/kernel"
                ),
            ),
            Block("output", network.init_output, network.logits, active=False),
        ]

    return build


# (parameters, h, context) -> (h, what else it computed)
Branch = Callable[[Tree, Array, BlockContext], tuple[Array, Any]]


@dataclass(frozen=True)
class Transformer:
    """The blocks of one Transformer. Signals are (examples, time, width)."""

    plan: Plan
    order: Order
    heads: int
    expansion: int
    causal: bool
    learned_positions: bool  # instead of sinusoids

    def init_input(self, key: Array) -> tuple[Tree, Tree]:
        """Tokens as vectors of N(0, 1), or a linear layer for numbers; learned positions of N(0, 0.02²)."""
        plan, dtype = self.plan, self.plan.param_dtype
        embedding_key, position_key = jax.random.split(key)
        params: Tree = {}
        if self.learned_positions:
            shape = (time_steps(plan), plan.width)
            params["positions"] = 0.02 * jax.random.normal(position_key, shape, dtype)
        if plan.vocabulary:
            shape = (plan.vocabulary, plan.width)
            return params | {"embedding": jax.random.normal(embedding_key, shape, dtype)}, {}
        return params | _init_linear(plan, "linear", embedding_key, (plan.shape[-1], plan.width)), {}

    def embed(self, params: Tree, x: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        """Tokens (examples, time) or numbers (examples, time, features) as vectors, plus their positions."""
        dtype = self.plan.dtype
        if self.plan.vocabulary:
            h = params["embedding"][x].astype(dtype)
        else:
            kernel, bias = (params[f"linear/{path}"].astype(dtype) for path in ("kernel", "bias"))
            h = x.astype(dtype) @ kernel + bias
        positions = params.get("positions", sinusoids(*h.shape[1:]))
        return h + jnp.asarray(positions, h.dtype), BlockAux({})

    def init_block(self, key: Array) -> tuple[Tree, Tree]:
        """One block: four kernels of attention, two kernels of the feed-forward layer, the parameters of two norms."""
        plan = self.plan
        inner = self.expansion * plan.width
        scale = (8 * plan.depth) ** -0.25 if self.order == "deepnorm" else 1.0
        scale *= plan.residual.kernel_scale(1, 1, plan.depth)
        *attention_keys, up_key, down_key = jax.random.split(key, 6)
        params: Tree = {}
        for name, attention_key in zip(ATTENTION, attention_keys, strict=True):
            factor = scale if name in ("value", "out") else 1.0
            shape = (plan.width, plan.width)
            params |= _init_linear(plan, f"attention/{name}", attention_key, shape, factor)
        down_shape = (inner * plan.activation.width_factor, plan.width)
        params |= _init_linear(plan, "feedforward/up", up_key, (plan.width, inner), scale)
        params |= _init_linear(plan, "feedforward/down", down_key, down_shape, scale)
        stats: Tree = {}
        for place in (1, 2):
            norm_params, norm_stats = normalize.draw(plan, f"norm{place}/", plan.width)
            params |= norm_params | prefixed(plan.residual.init(plan.width, 1), f"residual{place}/")
            stats |= norm_stats
        return params, stats

    def run_block(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        """Attention, then the feed-forward layer, each joined to h (examples, time, width) in the network's order."""
        h, stats_1, entropy = self._join(1, self._attend, params, h, context)
        h, stats_2, slope = self._join(2, self._feed_forward, params, h, context)
        metrics = {"attention_entropy": entropy}
        return h, BlockAux(stats_1 | stats_2, slope, self.plan.activation.max_slope, metrics)

    def _join(
        self, place: int, branch: Branch, params: Tree, h: Array, context: BlockContext
    ) -> tuple[Array, Tree, Any]:
        """h and branch(h) in the network's order, the norm's statistics, and what else the branch computed.

        `place`: the number of the norm and of the residual connection, 1 or 2.
        """
        plan, order, prefix = self.plan, self.order, f"norm{place}/"
        key = jax.random.fold_in(context.key, place)
        alpha = (2 * plan.depth) ** 0.25 if order == "deepnorm" else 1.0
        site = Site(context.layer, plan.depth, jax.random.fold_in(key, 1), context.train)
        inner, stats = normalize.norm(plan, prefix, params, h, context) if order == "pre" else (h, {})
        out, value = branch(params, inner, context)
        out = normalize.dropout(plan, out, key, context.train)
        # α stands on the skip alone: the branch takes h itself
        h = plan.residual.join(under(params, f"residual{place}/"), alpha * h, out, site)
        if order != "pre":
            h, stats = normalize.norm(plan, prefix, params, h, context)
        return h, stats, value

    def _attend(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, Array]:
        """Multi-head self-attention, and its mean entropy."""
        q, k, v = (_linear(params, f"attention/{name}", h, context) for name in ATTENTION[:3])
        attended, entropy = attention(q, k, v, self.heads, self.causal)
        return _linear(params, "attention/out", attended, context), entropy

    def _feed_forward(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, Array]:
        """W_down φ(W_up h), and φ' (positions of all examples, units): its activation is the one that is measured."""
        z = context.tap(_linear(params, "feedforward/up", h, context))
        a, slope = jax.jvp(self.plan.activation.phi, (z,), (jnp.ones_like(z),))
        return _linear(params, "feedforward/down", a, context), slope.reshape(-1, slope.shape[-1])

    def init_output(self, key: Array) -> tuple[Tree, Tree]:
        """The output's weights, and in pre order the last norm."""
        plan = self.plan
        params, stats = normalize.draw(plan, "norm/", plan.width) if self.order == "pre" else ({}, {})
        return params | _init_linear(plan, "linear", key, (plan.width, plan.outputs)), stats

    def logits(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        """W h + b at each position, (examples, time, outputs); or of the last one or the mean, (examples, outputs)."""
        stats: Tree = {}
        if self.order == "pre":
            h, stats = normalize.norm(self.plan, "norm/", params, h, context)
        if not self.plan.label_per_step:
            h = h[:, -1] if self.causal else jnp.mean(h, axis=1)
        return _linear(params, "linear", h, context), BlockAux(stats, None, self.plan.activation.max_slope)


def _init_linear(plan: Plan, name: str, key: Array, shape: tuple[int, int], scale: float = 1.0) -> Tree:
    """A layer's first weights, `scale` times what the initializer draws, and its bias."""
    kernel_key, bias_key = jax.random.split(key)
    drawn = {
        "kernel": scale * plan.initializer.kernel(kernel_key, shape),
        "bias": plan.initializer.bias(bias_key, shape[1:]),
    }
    return {f"{name}/{path}": value.astype(plan.param_dtype) for path, value in drawn.items()}


def _linear(params: Tree, name: str, h: Array, context: BlockContext) -> Array:
    kernel, bias = (params[f"{name}/{path}"].astype(h.dtype) for path in ("kernel", "bias"))
    return context.on_linear(f"{name}/kernel", h @ kernel + bias)


def sinusoids(steps: int, width: int) -> NDArray[np.float64]:
    """(steps, width): sin(t·10000^(−2i/width)) in column 2i, its cosine in 2i + 1 (Vaswani et al. 2017)."""
    columns = np.arange(width)
    angles = np.arange(steps)[:, None] * 10000.0 ** (-2 * (columns // 2) / width)
    return np.where(columns % 2 == 0, np.sin(angles), np.cos(angles))
