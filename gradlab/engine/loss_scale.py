"""Loss scaling: the loss times a power of two before back-propagation, so that a float16 gradient does not underflow.

float16 holds numbers from 6e-8 to 65504. The loss is multiplied by the scale, its gradient is divided by it in
float32, and so are all measured norms; powers of two are exact. The rule of `dynamic` is that of jmp.DynamicLossScale
(jmp 0.0.4) and of torch.amp.GradScaler (growth_factor=2, backoff_factor=0.5): a gradient that is not finite is not used
and halves the scale, and `growth_interval` finite ones in a row double it (Micikevicius et al. 2018). As in jmp the
scale stays from 1 to 2**127. `static` keeps the scale and drops no step, as jmp.StaticLossScale.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.nn.chain import TapValues
from gradlab.numerics import norms
from gradlab.numerics.taps import TapRecord
from gradlab.numerics.tree import Tree

LARGEST_EXPONENT = 127  # 2**127 is the largest power of two in float32


class LossScaling(NamedTuple):
    """The keys of `loss_scale` in a recipe; value may be traced."""

    kind: str  # none, static or dynamic
    value: Array | float  # the first scale, a power of two
    growth_interval: int

    @property
    def drops(self) -> bool:
        """Whether a step with a gradient that is not finite is dropped."""
        return self.kind == "dynamic"

    def init(self) -> "ScaleState | None":
        """The state before the first step; None where nothing is scaled."""
        if self.kind == "none":
            return None
        exponent = jnp.frexp(jnp.asarray(self.value))[1].astype(jnp.int32) - 1
        return ScaleState(exponent, jnp.zeros((), jnp.int32))

    def adjusted(self, state: "ScaleState", finite: Array) -> "ScaleState":
        """The state after a step whose gradient was finite or not, ()."""
        if not self.drops:
            return state
        count = jnp.where(finite, state.finite_steps + 1, 0)
        grows = count == self.growth_interval
        exponent = jnp.where(finite, state.exponent + grows, state.exponent - 1)
        return ScaleState(jnp.clip(exponent, 0, LARGEST_EXPONENT), jnp.where(grows, 0, count))


class ScaleState(NamedTuple):
    """The scale is 2**exponent; finite_steps is the number of steps in a row without overflow since it last changed."""

    exponent: Array  # (), int32
    finite_steps: Array  # (), int32


def columns(state: ScaleState, overflowed: Array | None) -> dict[str, Array]:
    """The columns of the steps table, () each (`measurements.columns.LOSS_SCALE`)."""
    scale = norms.power_of_two(state.exponent, jnp.dtype(jnp.float32))
    return {"scale": scale} if overflowed is None else {"scale": scale, "overflowed": overflowed}


def all_finite(tree: Tree) -> Array:
    """Whether no entry of the tree is infinite or NaN, ()."""
    return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in tree.values()]).all()


def unscaled(tree: Tree, exponent: Array) -> Tree:
    """The gradient of the loss from that of the scaled loss, in the same shapes: times 2**−exponent, exactly."""
    return {path: norms.scale(leaf, -exponent) for path, leaf in tree.items()}


def unscaled_measures(measured: TapValues, exponent: Array) -> TapValues:
    """What the taps measured of the scaled loss as norms of the loss's gradient; all of them are log2."""

    def record(tapped: TapRecord) -> TapRecord:
        return tapped._replace(signal=tapped.signal - exponent, params=tapped.params - exponent)

    lower: Any = lambda parts: [part - exponent for part in parts]
    return TapValues(
        taps=[record(tapped) for tapped in measured.taps],
        preactivation=lower(measured.preactivation),
        time=lower(measured.time),
        last=record(measured.last),
    )
