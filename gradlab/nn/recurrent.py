"""Recurrent networks of any cell: an input block, `depth` recurrent layers of `width` units, an output block.

Signals are (time, examples, units) inside the chain. Layers 2 … depth are equal and run by `lax.scan`.
"""

from dataclasses import dataclass, replace
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import initializers

from gradlab.nn import normalize
from gradlab.nn.cells import CellSpec
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.plan import Plan
from gradlab.nn.sequence import (
    GATED,
    Unsupported,
    input_block,
    output_block,
    require_supported,
    swap_batch_time,
    time_steps,
)
from gradlab.numerics.recurrence import CellState, recurrence
from gradlab.numerics.tree import Tree, prefixed, under
from gradlab.parts.residuals import Site

RecurrentInit = Literal["orthogonal", "identity", "normal"]
_RESIDUAL = "residual/"  # where the residual connection's own parameters are

UNSUPPORTED = Unsupported(
    widening="feeds its units back, so an activation that doubles them does not fit",
    residual_order="has layers without an inner order; choose residual=none, plain, scaled, rezero, layer_scale, "
    "stochastic_depth or deepnorm",
    mirrored="has no activation=crelu, which initializer=looks_linear is made for",
)
UNSUPPORTED_GATED = replace(UNSUPPORTED, other_activation=f"{GATED}, or choose model=rnn")


@dataclass(frozen=True)
class RecurrentKernelInit:
    """How the recurrent kernel is initialized, gate by gate: `radius` times a matrix of spectral radius 1."""

    init: RecurrentInit
    radius: Array | float

    def draw(self, key: Array, width: int, gates: int) -> Array:
        """The kernel (width, gates·width)."""
        if self.init == "identity":
            return self.radius * jnp.tile(jnp.eye(width), (1, gates))
        # of N(0, 1/width) the radius is 1 as the width grows (circular law)
        matrix = initializers.orthogonal() if self.init == "orthogonal" else initializers.normal(width**-0.5)
        keys = jax.random.split(key, gates)
        return self.radius * jnp.concatenate([matrix(key, (width, width)) for key in keys], axis=1)


def recurrent_network(
    plan: Plan, cell: CellSpec, kernel: RecurrentKernelInit, bptt: int, unsupported: Unsupported = UNSUPPORTED
) -> list[Block]:
    """The blocks of a recurrent network: input, first, (upper, depth − 1 equal layers), output.

    `bptt`: after how many steps the gradient through time is cut; 0: never.
    """
    require_supported(plan, unsupported)
    fan_in = plan.width if plan.vocabulary else plan.shape[-1]
    layers = [RecurrentLayer(plan, cell, kernel, bptt, fan_in=fan_in).block("first", None)]
    if plan.depth > 1:
        upper = RecurrentLayer(plan, cell, kernel, bptt, fan_in=plan.width, has_residual=True)
        layers.append(upper.block("upper", plan.depth - 1))
    return [input_block(plan), *layers, output_block(plan)]


@dataclass(frozen=True)
class RecurrentLayer:
    """One recurrent layer, with dropout and norm at its output; a norm `before` is at W_x x_t (Laurent et al. 2016).

    Layers above the first have a residual connection.
    """

    plan: Plan
    cell: CellSpec
    kernel: RecurrentKernelInit
    bptt: int
    fan_in: int
    has_residual: bool = False

    def block(self, name: str, count: int | None) -> Block:
        """The layer, or `count` equal ones."""
        return Block(
            name,
            self.init,
            self.apply,
            count,
            active=self.cell.returns_slope,
            signal=swap_batch_time,
            time_steps=time_steps(self.plan),
            metric_names=self.cell.metric_names,
            recurrent_kernels=(("recurrent/kernel", self.cell.gate_names),),
        )

    def init(self, key: Array) -> tuple[Tree, Tree]:
        """Kernels gate by gate, each with the fans of its own gate."""
        plan, gates, width = self.plan, self.cell.cell.gates, self.plan.width
        scale = plan.residual.kernel_scale(1, 1, plan.depth) if self.has_residual else 1.0
        keys = jax.random.split(key, (3, gates))
        kernels = [scale * plan.initializer.kernel(gate_key, (self.fan_in, width)) for gate_key in keys[0]]
        biases = [
            plan.initializer.bias(gate_key, (width,)) + gate_bias
            for gate_key, gate_bias in zip(keys[1], self.cell.gate_biases, strict=True)
        ]
        params = {
            "input/kernel": jnp.concatenate(kernels, axis=1),
            "input/bias": jnp.concatenate(biases),
            "recurrent/kernel": self.kernel.draw(keys[2, 0], width, gates),
        }
        if self.cell.recurrent_bias:
            params["recurrent/bias"] = jnp.zeros(width)
        norm, stats = normalize.draw(plan, "norm/", self._norm_width)
        if self.has_residual:
            params |= prefixed(plan.residual.init(width, 1), _RESIDUAL)
        return {path: value.astype(plan.param_dtype) for path, value in (params | norm).items()}, stats

    @property
    def _norm_width(self) -> int:
        before = self.plan.normalization.place == "before"
        return self.plan.width * (self.cell.cell.gates if before else 1)

    def apply(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        """The layer's outputs of all steps: (time, examples, fan_in) -> (time, examples, width)."""
        out, aux = self._run(params, h, context)
        if not self.has_residual:
            return out, aux
        site = Site(context.layer, self.plan.depth, jax.random.fold_in(context.key, 1), context.train)
        return self.plan.residual.join(under(params, _RESIDUAL), h, out, site), aux

    def _run(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        plan, spec = self.plan, self.cell
        weights = {
            path: value.astype(plan.dtype)
            for path, value in params.items()
            if "kernel" in path or "bias" in path
        }
        z = context.on_linear("input/kernel", h @ weights["input/kernel"] + weights["input/bias"])
        stats: Tree = {}
        if plan.normalization.place == "before":
            z, stats = normalize.norm(plan, "norm/", params, z, context)
        z = context.tap(z) if spec.returns_slope else z
        bias = weights.get("recurrent/bias")
        if bias is not None:  # it acts on the last gate alone
            bias = jnp.pad(bias, ((spec.cell.gates - 1) * plan.width, 0))
        start = zero_state(spec, z.shape[1], plan.width, z.dtype)
        output = recurrence(
            spec.cell, weights["recurrent/kernel"], bias, z, start, context.time_dummy, self.bptt
        )
        h = output.h
        if plan.normalization.place == "after":
            h, stats = normalize.norm(plan, "norm/", params, h, context)
        h = normalize.dropout(plan, h, context.key, context.train)
        if spec.returns_slope:
            slope = output.aux.reshape(-1, output.aux.shape[-1])
            return h, BlockAux(stats, slope, plan.activation.max_slope)
        return h, BlockAux(stats, metrics=mean_metrics(spec, output.aux))


def zero_state(spec: CellSpec, examples: int, width: int, dtype: jnp.dtype) -> CellState:
    """The state before the first step: zeros (examples, width), two of them where the cell has a cell state."""
    zero = jnp.zeros((examples, width), dtype)
    return (zero, zero) if spec.cell.has_cell_state else (zero,)


def mean_metrics(spec: CellSpec, metrics: Array) -> dict[str, Array]:
    """The mean over time of what a cell returned at each step, (time, metrics), by name."""
    means = jnp.mean(metrics, axis=0)
    return {name: means[index] for index, name in enumerate(spec.metric_names)}
