"""A dense layer with its normalization, made and used within one trace: the numbers of its parts may be traced."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx, traverse_util
from jax import Array

from gradlab.models.chain import Tree
from gradlab.models.family import Plan
from gradlab.parts.initializers import Initializer, blank

_BLANK = Initializer(blank)  # a module whose state is about to be put in


@dataclass(frozen=True)
class Dense:
    """One dense layer of a block: where its parameters are, its sizes, and how its kernel begins."""

    prefix: str
    fan_in: int
    fan_out: int
    normed: bool
    bias: bool = True
    scale: float = 1.0  # times what the initializer draws
    behind: bool = True  # whether an activation's output comes in, and not the data


class Layer(nnx.Module):
    """The layer's module; no graph outlives its trace."""

    def __init__(self, linear: nnx.Linear, norm: Any, place: str) -> None:
        self.linear = linear
        self.norm = norm
        self.place = place if norm is not None else "none"

    def weigh(self, h: Array) -> Array:
        """W h + b, W the kernel as its normalization makes it."""
        if self.place == "kernel":
            self.linear.kernel[...] = self.norm(self.linear.kernel[...])
        return self.linear(h)

    def before(self, z: Array) -> Array:
        """The normalization, where it stands before the activation."""
        return self.norm(z) if self.place == "before" else z

    def after(self, a: Array) -> Array:
        """The normalization, where it stands after the activation."""
        return self.norm(a) if self.place == "after" else a

    def statistics(self) -> Tree:
        """The running averages as they are now."""
        return _flat(nnx.state(self, nnx.BatchStat))


def _make(the: Dense, plan: Plan, initializer: Initializer, rngs: nnx.Rngs) -> Layer:
    mirrored = initializer.mirrored and the.behind

    def kernel(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        half = initializer.kernel(key, (shape[0] // 2, shape[1]) if mirrored else shape)
        drawn = jnp.concatenate([half, -half]) if mirrored else half
        return (drawn if the.scale == 1 else the.scale * drawn).astype(dtype)

    linear = nnx.Linear(
        the.fan_in,
        the.fan_out,
        use_bias=the.bias,
        kernel_init=kernel,
        bias_init=lambda key, shape, dtype: initializer.bias(key, shape).astype(dtype),
        param_dtype=jnp.promote_types(plan.dtype, jnp.float32),
        dtype=plan.dtype,
        rngs=rngs,
    )
    make, place = plan.normalization.make, plan.normalization.place
    if make is None or not the.normed:
        return Layer(linear, None, place)
    norm: Any = make(the.fan_out * (plan.activation.widen if place == "after" else 1), plan.dtype)
    if place == "kernel":
        norm.start(linear.kernel[...])
    return Layer(linear, norm, place)


def draw(the: Dense, plan: Plan, key: Array) -> tuple[Tree, Tree]:
    """The layer's first parameters and statistics, by path."""
    module = _make(the, plan, plan.initializer, nnx.Rngs(key))
    found = _flat(nnx.state(module, nnx.Param)), _flat(nnx.state(module, nnx.BatchStat))
    params, stats = ({the.prefix + path: value for path, value in tree.items()} for tree in found)
    return params, stats


def layer(the: Dense, plan: Plan, params: Tree, stats: Tree, train: bool) -> Layer:
    """The layer with its own part of a block's parameters and statistics."""
    module = _make(the, plan, _BLANK, nnx.Rngs(0))
    whole = params | stats
    own = {
        path.removeprefix(the.prefix): value for path, value in whole.items() if path.startswith(the.prefix)
    }
    own = {path: value for path, value in own.items() if path.startswith(("linear/", "norm/"))}
    nnx.update(module, traverse_util.unflatten_dict(own, sep="/"))
    module.set_attributes(use_running_average=not train, raise_if_not_found=False)
    return module


def _flat(state: nnx.State) -> Tree:
    return traverse_util.flatten_dict(nnx.to_pure_dict(state), sep="/")
