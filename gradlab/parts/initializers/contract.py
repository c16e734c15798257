"""What an initializer is, and the family that the makers of initializers are registered in."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import Tree
from gradlab.parts.family import Family

initializer = Family("initializer", "gradlab.parts.initializers")
Draw = Callable[[Array, tuple[int, ...]], Array]  # (random key, shape) -> an array of this shape
# one block as a function of (parameters, input, on_linear); on_linear(path, W h + b) replaces a layer's W h + b
Run = Callable[[Tree, Any, Callable[[str, Array], Array]], Any]
# visits the blocks in order with a function (run, parameters, input) -> (output, parameters); returns all parameters
Walk = Callable[[Callable[[Run, Tree, Any], tuple[Any, Tree]]], Tree]
Adjust = Callable[[Walk], Tree]


def zero(key: Array, shape: tuple[int, ...]) -> Array:
    """An array of zeros of this shape, the initial value of a bias unless an initializer has another."""
    return jnp.zeros(shape)


class Initializer(NamedTuple):
    """How kernels and biases are drawn.

    adjust: changes the drawn parameters by what they do to the first batch; None: they stay as drawn.
    mirrored: after an activation that doubles the width a kernel is [W0; −W0], with W0 drawn.
    """

    kernel: Draw
    bias: Draw = zero
    adjust: Adjust | None = None
    mirrored: bool = False
