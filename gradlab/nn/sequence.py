"""What networks over time require of their input and parts, and their first and last blocks."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.nn import linear_layer
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.plan import Plan
from gradlab.numerics import norms
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError

GATED = "has its own gates, σ and tanh; leave activation=tanh"
KERNEL_NORM = "normalizes signals, not kernels; choose normalization=layer, rms, batch, group or none"


@dataclass(frozen=True)
class Unsupported:
    """The parts that a network does not take: for each, the sentence that refuses it; None where it is taken."""

    other_activation: str | None = None  # any but tanh
    any_norm: str | None = None
    kernel_norm: str | None = KERNEL_NORM
    norm_after: str | None = None
    widening: str | None = None  # an activation with more outputs than inputs
    residual_order: str | None = None  # a residual connection that decides where the activation stands
    mirrored: str | None = None  # an initializer for kernels that follow a doubling activation


def require_supported(plan: Plan, unsupported: Unsupported) -> None:
    """Refuse a plan with parts that the network does not take.

    Raises:
        RecipeError: for the first of them, with its sentence.
    """
    place = plan.normalization.place
    refusals = (
        (unsupported.other_activation, plan.activation.phi is not jnp.tanh),
        (unsupported.any_norm, plan.normalization.make is not None),
        (unsupported.kernel_norm, place == "kernel"),
        (unsupported.norm_after, place == "after"),
        (unsupported.widening, plan.activation.width_factor > 1),
        (unsupported.residual_order, plan.residual.activation_place != "after_weights"),
        (unsupported.mirrored, plan.initializer.mirrored),
    )
    for sentence, present in refusals:
        if sentence is not None and present:
            raise RecipeError(sentence)


def time_steps(plan: Plan) -> int:
    """How many time steps an example has.

    Raises:
        RecipeError: if examples are neither sequences (time, features) nor tokens (time,).
    """
    if len(plan.shape) == (1 if plan.vocabulary else 2):
        return plan.shape[0]
    more = "; data=sequential_digits has images a row or a pixel at a time" if len(plan.shape) == 3 else ""
    raise RecipeError(
        f"takes sequences (time, features) or tokens (time,), not examples of shape {plan.shape}{more}"
    )


def swap_batch_time(h: Array) -> Array:
    """(time, examples, …) as (examples, time, …), or back.

    By rows: XLA on CPU copies them five times as fast as it transposes. Not for what is differentiated.
    """
    first, second = h.shape[:2]
    rows = jnp.arange(second)[:, None] + second * jnp.arange(first)
    return norms.barrier(h.reshape(-1, *h.shape[2:])[rows])


def input_block(plan: Plan) -> Block:
    """x_t of all steps: (examples, time, …) -> (time, examples, units).

    Numbers stay as they are, tokens become learned vectors of `width` numbers, initialized as N(0, 1).
    """
    time_steps(plan)
    init, apply = partial(_init_input, plan), partial(_apply_input, plan)
    return Block("input", init, apply, active=False, signal=swap_batch_time)


def _init_input(plan: Plan, key: Array) -> tuple[Tree, Tree]:
    if not plan.vocabulary:
        return {}, {}
    return {"embedding": jax.random.normal(key, (plan.vocabulary, plan.width), plan.param_dtype)}, {}


def _apply_input(plan: Plan, params: Tree, x: Array, context: BlockContext) -> tuple[Array, BlockAux]:
    x = swap_batch_time(x)
    return (params["embedding"][x] if plan.vocabulary else x).astype(plan.dtype), BlockAux({})


def output_block(plan: Plan) -> Block:
    """W h_T + b at the last step, or W h_t + b at every step where each has a target.

    (time, examples, units) -> (examples, outputs), or (examples, time, outputs).
    """
    spec = WeightLayerSpec("", plan.width, plan.outputs, has_norm=False, scale=plan.residual.output_scale)
    apply = partial(_apply_output, spec, plan)
    return Block("output", partial(linear_layer.draw, spec, plan), apply, active=False)


def _apply_output(
    spec: WeightLayerSpec, plan: Plan, params: Tree, h: Array, context: BlockContext
) -> tuple[Array, BlockAux]:
    layer = linear_layer.layer(spec, plan, params, context.stats, context.train)
    h = jnp.swapaxes(h, 0, 1) if plan.label_per_step else h[-1]
    logits = context.on_linear("linear/kernel", layer.affine(h))
    return logits, BlockAux({}, None, plan.activation.max_slope)
