"""Plan: the sizes and parts from which a model builds its chain of blocks."""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.nn.chain import Block
from gradlab.parts.activations import Activation
from gradlab.parts.initializers.contract import Initializer
from gradlab.parts.normalizations import Normalization
from gradlab.parts.residuals import Residual


class Plan(NamedTuple):
    """The sizes and the parts of a network; the parts' numbers may be traced."""

    shape: tuple[int, ...]  # of one example's input
    vocabulary: int  # how many tokens there are where inputs are tokens; else 0
    outputs: int
    label_per_step: bool  # whether every time step has its own label
    depth: int
    width: int
    activation: Activation
    initializer: Initializer
    normalization: Normalization
    residual: Residual
    dropout: Array | float | None  # None: there is no dropout
    dtype: jnp.dtype  # of the computation

    @property
    def features(self) -> int:
        """How many numbers one example has."""
        return prod(self.shape)

    @property
    def param_dtype(self) -> jnp.dtype:
        """The dtype of the parameters: float32, or float64 where the computation is in float64."""
        return jnp.promote_types(self.dtype, jnp.float32)


def recorded(plan: Plan) -> tuple[Plan, set[str]]:
    """The same plan, and the names of the fields that have been read of it: what takes part in the network."""
    used: set[str] = set()

    class Recorded(Plan):
        def __getattribute__(self, name: str) -> Any:
            if name in Plan._fields:
                used.add(name)
            return super().__getattribute__(name)

    return Recorded(*plan), used


Model = Callable[[Plan], list[Block]]
