"""Plan: the sizes and parts from which a model builds its chain of blocks."""

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple, TypeVar

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
    has_alpha_dropout: bool = False  # whether dropout is that of `normalize.alpha_dropout`
    widths: tuple[
        int, ...
    ] = ()  # of the input block and each hidden one, where they differ; `width` is the first

    @property
    def features(self) -> int:
        """How many numbers one example has."""
        return prod(self.shape)

    @property
    def param_dtype(self) -> jnp.dtype:
        """The dtype of the parameters: float32, or float64 where the computation is in float64."""
        return jnp.promote_types(self.dtype, jnp.float32)


Fields = TypeVar("Fields", bound=NamedTuple)
# which entries of a plan, and which functions of its parts, a network reads only where they take part in it; the width
# factor or the place of a part is read before that is decided
_SIZES = ("depth", "width", "dropout")
_FUNCTIONS = {"activation": ("phi",), "initializer": ("kernel", "bias"), "residual": ("join", "init")}


def recorded(plan: Plan) -> tuple[Plan, set[str]]:
    """An equal plan, and the sizes and parts that a network which is built, drawn and run from it has used so far."""
    used: set[str] = set()
    parts = {
        name: _recorded(getattr(plan, name), dict.fromkeys(functions, name), used)
        for name, functions in _FUNCTIONS.items()
    }
    make = plan.normalization.make

    def make_norm(width: int, dtype: jnp.dtype) -> Any:
        assert make is not None
        used.add("normalization")
        return make(width, dtype)

    if make is not None:
        parts["normalization"] = plan.normalization._replace(make=make_norm)
    return _recorded(plan._replace(**parts), {name: name for name in _SIZES}, used), used


def _recorded(fields: Fields, names: dict[str, str], used: set[str]) -> Fields:
    """An equal named tuple; to read its field `key`, unless it is None, adds `names[key]` to `used`."""

    def recording(key: str) -> property:
        place = fields._fields.index(key)

        def read(values: tuple[Any, ...]) -> Any:
            if values[place] is not None:
                used.add(names[key])
            return values[place]

        return property(read)

    kind = type(fields)
    recording_kind = type(kind.__name__, (kind,), {key: recording(key) for key in names})
    equal: Fields = recording_kind(*fields)
    return equal


Model = Callable[[Plan], list[Block]]
