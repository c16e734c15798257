"""Sequence to sequence: one LSTM reads, another one goes on from its last state and answers (Sutskever et al. 2014).

An example has 2·T tokens: the source, and the decoder's input, the answer after a start token (teacher forcing).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.nn import cells, normalize
from gradlab.nn.cells import CellSpec
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.model import Model, Plan, model
from gradlab.nn.recurrent import RecurrentInit, RecurrentKernelInit, mean_metrics, zero_state
from gradlab.nn.sequence import (
    GATED,
    Unsupported,
    input_block,
    output_block,
    require_supported,
    swap_batch_time,
    time_steps,
)
from gradlab.numerics.recurrence import CellState, RecurrenceOutput, recurrence
from gradlab.numerics.tree import Tree
from gradlab.recipe.bounds import Count, Number, Positive
from gradlab.recipe.errors import RecipeError

UNSUPPORTED = Unsupported(
    other_activation=GATED, any_norm="has no place for a normalization; choose normalization=none"
)


@model
def seq2seq(forget_bias: Number, recurrent: RecurrentInit, radius: Positive, bptt: Count) -> Model:
    """h_t of the encoder over x_1 … x_T, of the decoder over x_{T+1} … x_{2T} from the encoder's (h_T, c_T).

    All that the outputs know of the source passes through that one state, and the gradient comes back through it.
    """

    def build(plan: Plan) -> list[Block]:
        _check_form(plan)
        require_supported(plan, UNSUPPORTED)
        lstm = Lstm(plan, cells.lstm(forget_bias), RecurrentKernelInit(recurrent, radius), bptt)
        decoder = Block(
            "decoder",
            lstm.init,
            lstm.decode,
            active=False,
            signal=swap_batch_time,
            time_steps=time_steps(plan) // 2,
            metric_names=lstm.spec.metric_names,
            recurrent_kernels=(("recurrent/kernel", lstm.spec.gate_names),),
        )
        return [
            input_block(plan),
            replace(decoder, name="encoder", apply=lstm.encode, signal=_encoder_signal),
            decoder,
            output_block(plan),
        ]

    return build


def _check_form(plan: Plan) -> None:
    if not (plan.vocabulary and plan.label_per_step) or time_steps(plan) % 2:
        raise RecipeError(
            "takes 2·T tokens, the source and what its decoder is fed, and answers T times; choose data=copy or reverse"
        )
    if plan.depth != 1:
        raise RecipeError(f"has one layer to read and one to answer, depth=1; got depth={plan.depth}")


class Encoded(NamedTuple):
    """The encoder's output: its h_t (T, examples, width), its last state, and the decoder's input (like h)."""

    decoder_input: Array
    h: Array
    last: CellState


def _encoder_signal(encoded: Encoded) -> Array:
    return swap_batch_time(encoded.h)


@dataclass(frozen=True)
class Lstm:
    """The layer that both halves are: an LSTM of the plan's width, each half with its own parameters."""

    plan: Plan
    spec: CellSpec
    kernel: RecurrentKernelInit
    bptt: int

    def init(self, key: Array) -> tuple[Tree, Tree]:
        """Its parameters, gate by gate: kernels (fan_in, 4·units) and biases (4·units,)."""
        width, gates = self.plan.width, self.spec.cell.gates
        *gate_keys, recurrent_key = jax.random.split(key, gates + 1)
        kernels = [self.plan.initializer.kernel(gate_key, (width, width)) for gate_key in gate_keys]
        biases = [jnp.zeros(width) + gate_bias for gate_bias in self.spec.gate_biases]
        params = {
            "input/kernel": jnp.concatenate(kernels, axis=1),
            "input/bias": jnp.concatenate(biases),
            "recurrent/kernel": self.kernel.draw(recurrent_key, width, gates),
        }
        return {path: value.astype(self.plan.param_dtype) for path, value in params.items()}, {}

    def encode(self, params: Tree, x: Array, context: BlockContext) -> tuple[Encoded, BlockAux]:
        """Reads the first half of x (2·T, examples, width) from a state of zeros."""
        half = len(x) // 2
        start = zero_state(self.spec, x.shape[1], self.plan.width, x.dtype)
        output = self._run(params, x[:half], start, context)
        return Encoded(x[half:], output.h, output.last), self._aux(output)

    def decode(self, params: Tree, encoded: Encoded, context: BlockContext) -> tuple[Array, BlockAux]:
        """h_t (T, examples, width) over the decoder's input, from the encoder's last state."""
        output = self._run(params, encoded.decoder_input, encoded.last, context)
        return normalize.dropout(self.plan, output.h, context.key, context.train), self._aux(output)

    def _run(self, params: Tree, x: Array, start: CellState, context: BlockContext) -> RecurrenceOutput:
        weights = {path: value.astype(self.plan.dtype) for path, value in params.items()}
        z = context.on_linear("input/kernel", x @ weights["input/kernel"] + weights["input/bias"])
        kernel = weights["recurrent/kernel"]
        return recurrence(self.spec.cell, kernel, None, z, start, context.time_dummy, self.bptt)

    def _aux(self, output: RecurrenceOutput) -> BlockAux:
        return BlockAux({}, metrics=mean_metrics(self.spec, output.aux))
