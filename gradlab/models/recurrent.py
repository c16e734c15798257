"""Recurrent networks: an input block, `depth` recurrent layers of `width` units, an output block at the last step.

Signals are (time, examples, units) inside the chain. Layers 2 … depth are equal and run by `lax.scan`.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import initializers

from gradlab.nn import cells, normalize
from gradlab.nn.cells import CellSpec
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.model import model
from gradlab.nn.plan import Model, Plan
from gradlab.nn.sequence import input_block, output_block, steps, turned
from gradlab.numerics.recurrence import CellState, recurrence
from gradlab.numerics.tree import Tree
from gradlab.parts.residuals import Site
from gradlab.recipe.bounds import Count, Number, Positive
from gradlab.recipe.errors import RecipeError

Kind = Literal["orthogonal", "identity", "normal"]
_OWN = "residual/"


@model
def rnn(recurrent: Kind, radius: Positive, bptt: Count) -> Model:
    """h_t = φ(W_x x_t + W_h h_{t−1} + b), W_h of spectral radius `radius`: φ is the activation.

    Gradients vanish where σ_max(W_h)·max φ' < 1 and can explode only where ρ(W_h)·max φ' > 1 (Pascanu et al. 2013).
    activation=relu with recurrent=identity is the IRNN (Le et al. 2015).
    """
    return lambda plan: _network(plan, cells.plain(plan.activation), Start(recurrent, radius), bptt)


@model
def lstm(forget_bias: Number, recurrent: Kind, radius: Positive, bptt: Count) -> Model:
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gates; gates i, f, g, o."""
    return lambda plan: _network(_gated(plan), cells.lstm(forget_bias), Start(recurrent, radius), bptt)


@model
def gru(update_bias: Number, recurrent: Kind, radius: Positive, bptt: Count) -> Model:
    """Gated recurrent unit (Cho et al. 2014); gates r, z, n."""
    return lambda plan: _network(_gated(plan), cells.gru(update_bias), Start(recurrent, radius), bptt)


@model
def recurrent_highway(transform_bias: Number, recurrent: Kind, radius: Positive, bptt: Count) -> Model:
    """Recurrent highway (Zilly et al. 2017) of depth 1: one gate t and its rest 1 − t; gates n, t."""
    return lambda plan: _network(_gated(plan), cells.highway(transform_bias), Start(recurrent, radius), bptt)


@dataclass(frozen=True)
class Start:
    """How the recurrent kernel begins, gate by gate: `radius` times a matrix of spectral radius 1."""

    kind: Kind
    radius: Any

    def draw(self, key: Array, width: int, gates: int) -> Array:
        """(width, gates·width)."""
        if self.kind == "identity":
            return self.radius * jnp.tile(jnp.eye(width), (1, gates))
        # of N(0, 1/width) the radius is 1 as the width grows (circular law)
        one = initializers.orthogonal() if self.kind == "orthogonal" else initializers.normal(width**-0.5)
        keys = jax.random.split(key, gates)
        return self.radius * jnp.concatenate([one(each, (width, width)) for each in keys], axis=1)


def _gated(plan: Plan) -> Plan:
    if plan.activation.phi is not jnp.tanh:
        raise RecipeError("has its own gates, σ and tanh; leave activation=tanh, or choose model=rnn")
    return plan


def _network(plan: Plan, unit: CellSpec, start: Start, bptt: int) -> list[Block]:
    _fits(plan)
    many = [Layer(plan, unit, start, bptt, fan_in=plan.width, above=True)] if plan.depth > 1 else []
    into = input_block(plan)
    first = Layer(plan, unit, start, bptt, fan_in=plan.width if plan.vocabulary else plan.shape[-1])
    return [
        into,
        first.block("first", None),
        *(layer.block("upper", plan.depth - 1) for layer in many),
        output_block(plan),
    ]


def _fits(plan: Plan) -> None:
    """Refuse parts that say where an activation or a kernel of a feed-forward layer stands."""
    normalize.signals_only(plan)
    if plan.activation.width_factor > 1:
        raise RecipeError("feeds its units back, so an activation that doubles them does not fit")
    if plan.residual.form != "inside":
        raise RecipeError(
            "has layers without an inner order; choose residual=none, plain, scaled, rezero, layer_scale, "
            "stochastic_depth or deepnorm"
        )
    if plan.initializer.mirrored:
        raise RecipeError("has no activation=crelu, which initializer=looks_linear is made for")


@dataclass(frozen=True)
class Layer:
    """One recurrent layer, with dropout and norm at its output; a norm `before` is at W_x x_t (Laurent et al. 2016).

    Layers above the first have a residual connection.
    """

    plan: Plan
    unit: CellSpec
    start: Start
    bptt: int
    fan_in: int
    above: bool = False

    def block(self, name: str, count: int | None) -> Block:
        """The layer, or `count` of them."""
        return Block(
            name,
            self.init,
            self.apply,
            count,
            active=self.unit.sloped,
            signal=turned,
            time_steps=steps(self.plan),
            metric_names=self.unit.metric_names,
            recurrent_kernels=(("recurrent/kernel", self.unit.gates),),
        )

    def init(self, key: Array) -> tuple[Tree, Tree]:
        """Kernels gate by gate, each with the fans of its own gate."""
        plan, gates, width = self.plan, self.unit.cell.gates, self.plan.width
        scale = plan.residual.shrink(1, 1, plan.depth) if self.above else 1.0
        keys = jax.random.split(key, (3, gates))
        wide = jnp.promote_types(plan.dtype, jnp.float32)
        drawn = [scale * plan.initializer.kernel(one, (self.fan_in, width)) for one in keys[0]]
        biases = [
            plan.initializer.bias(one, (width,)) + shift
            for one, shift in zip(keys[1], self.unit.shifts, strict=True)
        ]
        params = {
            "input/kernel": jnp.concatenate(drawn, axis=1),
            "input/bias": jnp.concatenate(biases),
            "recurrent/kernel": self.start.draw(keys[2, 0], width, gates),
        }
        if self.unit.own_bias:
            params["recurrent/bias"] = jnp.zeros(width)
        norm, stats = normalize.draw(plan, "norm/", self._normed)
        if self.above:
            params |= {_OWN + path: value for path, value in plan.residual.own(width, 1).items()}
        return {path: value.astype(wide) for path, value in (params | norm).items()}, stats

    @property
    def _normed(self) -> int:
        before = self.plan.normalization.place == "before"
        return self.plan.width * (self.unit.cell.gates if before else 1)

    def apply(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        """The layer's outputs of all steps."""
        if not self.above:
            return self._run(params, h, context)
        told: list[BlockAux] = []

        def branch(h: Array) -> Array:
            out, notes = self._run(params, h, context)
            told.append(notes)
            return out

        own = {path.removeprefix(_OWN): value for path, value in params.items() if path.startswith(_OWN)}
        site = Site(context.layer, self.plan.depth, jax.random.fold_in(context.key, 1), context.train)
        return self.plan.residual.join(own, h, branch, site), told[0]

    def _run(self, params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        plan, unit, dtype = self.plan, self.unit, self.plan.dtype
        own = (params, context.stats, context.train)
        used = {
            path: value.astype(dtype) for path, value in params.items() if "kernel" in path or "bias" in path
        }
        z = context.on_linear("input/kernel", h @ used["input/kernel"] + used["input/bias"])
        stats: Tree = {}
        if plan.normalization.place == "before":
            z, stats = normalize.norm(plan, "norm/", own, z)
        z = context.tap(z) if unit.sloped else z
        bias = used.get("recurrent/bias")
        if bias is not None:
            bias = jnp.pad(bias, ((unit.cell.gates - 1) * plan.width, 0))
        found = recurrence(
            unit.cell, used["recurrent/kernel"], bias, z, self._rest(z), context.time_dummy, self.bptt
        )
        out = found.h
        if plan.normalization.place == "after":
            out, stats = normalize.norm(plan, "norm/", own, out)
        return normalize.dropped(plan, out, context.key, context.train), self._notes(stats, found.told)

    def _rest(self, z: Array) -> CellState:
        """The state before the first step: zeros."""
        zero = jnp.zeros((z.shape[1], self.plan.width), z.dtype)
        return (zero, zero) if self.unit.cell.memory else (zero,)

    def _notes(self, stats: Tree, told: Array) -> BlockAux:
        if self.unit.sloped:
            return BlockAux(stats, told.reshape(-1, told.shape[-1]), self.plan.activation.max_slope)
        means = jnp.mean(told, axis=0)
        return BlockAux(
            stats, metrics={name: means[index] for index, name in enumerate(self.unit.metric_names)}
        )
