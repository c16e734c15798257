"""Sequence to sequence: one LSTM reads, another one goes on from its last state and answers (Sutskever et al. 2014).

An example is 2·T tokens: the source, and what the decoder is fed, the answer behind a start token (teacher forcing).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.models.recurrent import Kind, Start
from gradlab.nn import cells, normalize
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.model import model
from gradlab.nn.plan import Model, Plan
from gradlab.nn.sequence import input_block, output_block, steps, turned
from gradlab.numerics.recurrence import CellState, RecurrenceOutput, recurrence
from gradlab.numerics.tree import Tree
from gradlab.recipe.bounds import Count, Number, Positive
from gradlab.recipe.errors import RecipeError


@model
def seq2seq(forget_bias: Number, recurrent: Kind, radius: Positive, bptt: Count) -> Model:
    """h_t of the encoder over x_1 … x_T, of the decoder over x_{T+1} … x_{2T} from the encoder's (h_T, c_T).

    All that the answers know of the source passes through that one state, and back through it comes the gradient.
    """

    def build(plan: Plan) -> list[Block]:
        _fits(plan)
        unit, start = cells.lstm(forget_bias), Start(recurrent, radius)
        half = steps(plan) // 2

        def draw(key: Array) -> tuple[Tree, Tree]:
            return _drawn(plan, unit, start, key), {}

        def read(params: Tree, x: Array, context: BlockContext) -> tuple[Any, BlockAux]:
            zero = jnp.zeros((x.shape[1], plan.width), x.dtype)
            found = _run(plan, unit, params, x[:half], (zero, zero), context, bptt)
            return {"h": found.h, "last": found.last, "fed": x[half:]}, _told(unit, found)

        def answer(params: Tree, state: Any, context: BlockContext) -> tuple[Array, BlockAux]:
            found = _run(plan, unit, params, state["fed"], state["last"], context, bptt)
            return normalize.dropped(plan, found.h, context.key, context.train), _told(unit, found)

        block = partial(
            Block,
            active=False,
            time_steps=half,
            metric_names=unit.metric_names,
            recurrent_kernels=(("recurrent/kernel", unit.gates),),
        )
        return [
            input_block(plan),
            block("encoder", draw, read, signal=lambda state: turned(state["h"])),
            block("decoder", draw, answer, signal=turned),
            output_block(plan),
        ]

    return build


def _fits(plan: Plan) -> None:
    if not (plan.vocabulary and plan.each) or steps(plan) % 2:
        raise RecipeError(
            "takes 2·T tokens, the source and what its decoder is fed, and answers T times; choose data=copy or reverse"
        )
    if plan.depth != 1:
        raise RecipeError(f"has one layer to read and one to answer, depth=1; got depth={plan.depth}")
    if plan.activation.phi is not jnp.tanh:
        raise RecipeError("has its own gates, σ and tanh; leave activation=tanh")
    if plan.normalization.make is not None:
        raise RecipeError("has no place for a normalization; choose normalization=none")


def _drawn(plan: Plan, unit: cells.CellSpec, start: Start, key: Array) -> Tree:
    """One LSTM's parameters, gate by gate."""
    width, gates = plan.width, unit.cell.gates
    *keys, own = jax.random.split(key, gates + 1)
    drawn = [plan.initializer.kernel(one, (width, width)) for one in keys]
    params = {
        "input/kernel": jnp.concatenate(drawn, axis=1),
        "input/bias": jnp.concatenate([jnp.zeros(width) + shift for shift in unit.shifts]),
        "recurrent/kernel": start.draw(own, width, gates),
    }
    return {path: value.astype(jnp.promote_types(plan.dtype, jnp.float32)) for path, value in params.items()}


def _run(
    plan: Plan,
    unit: cells.CellSpec,
    params: Tree,
    x: Array,
    start: CellState,
    context: BlockContext,
    bptt: int,
) -> RecurrenceOutput:
    used = {path: value.astype(plan.dtype) for path, value in params.items()}
    z = context.on_linear("input/kernel", x @ used["input/kernel"] + used["input/bias"])
    return recurrence(unit.cell, used["recurrent/kernel"], None, z, start, context.time_dummy, bptt)


def _told(unit: cells.CellSpec, found: RecurrenceOutput) -> BlockAux:
    means = jnp.mean(found.told, axis=0)
    return BlockAux({}, metrics={name: means[index] for index, name in enumerate(unit.metric_names)})
