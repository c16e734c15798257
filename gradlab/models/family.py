"""What every model is made from, and the family of the models."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.models.chain import Block
from gradlab.parts.activations import Activation
from gradlab.parts.family import Family
from gradlab.parts.initializers import Initializer
from gradlab.parts.normalizations import Normalization
from gradlab.parts.residuals import Residual

model = Family("model")


class Plan(NamedTuple):
    """The sizes and the parts of a network; the parts' numbers may be traced."""

    features: int
    outputs: int
    depth: int
    width: int
    activation: Activation
    initializer: Initializer
    normalization: Normalization
    residual: Residual
    dropout: Array | float | None  # None: there is no dropout
    dtype: jnp.dtype  # of the computation; parameters are float32, or float64 where this is


Model = Callable[[Plan], list[Block]]
