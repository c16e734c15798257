"""A layer with its normalization, made and used within one trace: the numbers of its parts may be traced."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jax import Array

from gradlab.nn.model import Plan
from gradlab.numerics.convolution import convolve
from gradlab.numerics.tree import Tree
from gradlab.parts.initializers.kernels import Initializer, blank
from gradlab.parts.normalizations import KEYLESS

Padding = Literal["same", "valid", "circular"]
_BLANK = Initializer(blank)  # a module whose state is about to be put in


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a block: where its parameters are, its sizes, and how its kernel begins.

    Without a window it is dense. With one it is a convolution, and fan_in and fan_out count channels.
    """

    prefix: str
    fan_in: int
    fan_out: int
    normed: bool
    bias: bool = True
    scale: float = 1.0  # times what the initializer draws
    behind: bool = True  # whether an activation's output comes in, and not the data
    ahead: bool = False  # whether normalization and activation stand at its input, and not at its output
    window: tuple[int, ...] = ()  # of a convolution, an entry an axis
    stride: int = 1
    padding: Padding = "same"


class Layer(nnx.Module):
    """The layer's module; no graph outlives its trace."""

    def __init__(self, linear: nnx.Linear | nnx.Conv, norm: Any, place: str) -> None:
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
        if self.place != "before":
            return z
        return self._leanly(z) if z.ndim > 2 else self.norm(z)

    def _leanly(self, z: Array) -> Array:
        """The normalization of an image, computed again from its sums in the backward pass: faster than to keep it."""
        graph, state = nnx.split(self.norm)

        def run(state: nnx.State, z: Array) -> tuple[Array, nnx.State]:
            norm = nnx.merge(graph, state)
            return norm(z), nnx.state(norm)

        keep = lambda primitive, *_, **__: primitive.name == "reduce_sum"
        out, after = jax.checkpoint(run, policy=keep, prevent_cse=False)(state, z)
        nnx.update(self.norm, after)
        return out

    def after(self, a: Array) -> Array:
        """The normalization, where it stands after the activation."""
        return self.norm(a) if self.place == "after" else a

    def statistics(self) -> Tree:
        """The running averages as they are now."""
        return flat(nnx.state(self, nnx.BatchStat))


def _make(the: LayerSpec, plan: Plan, initializer: Initializer, rngs: nnx.Rngs) -> Layer:
    mirrored = initializer.mirrored and the.behind

    def kernel(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        half = initializer.kernel(key, (*shape[:-2], shape[-2] // 2, shape[-1]) if mirrored else shape)
        drawn = jnp.concatenate([half, -half], axis=-2) if mirrored else half
        return (drawn if the.scale == 1 else the.scale * drawn).astype(dtype)

    options: dict[str, Any] = {
        "use_bias": the.bias,
        "kernel_init": kernel,
        "bias_init": lambda key, shape, dtype: initializer.bias(key, shape).astype(dtype),
        "param_dtype": jnp.promote_types(plan.dtype, jnp.float32),
        "dtype": plan.dtype,
        "rngs": rngs,
    }
    linear: nnx.Linear | nnx.Conv
    if the.window:
        options |= {"padding": the.padding.upper(), "conv_general_dilated": convolve}
        linear = nnx.Conv(the.fan_in, the.fan_out, the.window, the.stride, **options)
    else:
        linear = nnx.Linear(the.fan_in, the.fan_out, **options)
    make, place = plan.normalization.make, plan.normalization.place
    if make is None or not the.normed:
        return Layer(linear, None, place)
    norm: Any = make(_normed(the, plan.activation.width_factor, place), plan.dtype)
    if place == "kernel":
        norm.start(linear.kernel[...])
    return Layer(linear, norm, place)


def _normed(the: LayerSpec, width_factor: int, place: str) -> int:
    """How many units the normalization is of."""
    if the.ahead and place != "kernel":
        return the.fan_in if place == "after" else the.fan_in // width_factor
    return the.fan_out * (width_factor if place == "after" else 1)


def draw(the: LayerSpec, plan: Plan, key: Array) -> tuple[Tree, Tree]:
    """The layer's first parameters and statistics, by path."""
    module = _make(the, plan, plan.initializer, nnx.Rngs(key))
    found = flat(nnx.state(module, nnx.Param)), flat(nnx.state(module, nnx.BatchStat))
    params, stats = ({the.prefix + path: value for path, value in tree.items()} for tree in found)
    return params, stats


def layer(the: LayerSpec, plan: Plan, params: Tree, stats: Tree, train: bool) -> Layer:
    """The layer with its own part of a block's parameters and statistics."""
    module = _make(the, plan, _BLANK, KEYLESS)
    whole = params | stats
    own = {
        path.removeprefix(the.prefix): value for path, value in whole.items() if path.startswith(the.prefix)
    }
    own = {path: value for path, value in own.items() if path.startswith(("linear/", "norm/"))}
    nnx.update(module, traverse_util.unflatten_dict(own, sep="/"))
    module.set_attributes(use_running_average=not train, raise_if_not_found=False)
    return module


def flat(state: nnx.State) -> Tree:
    """A module's state by path: {"linear/kernel": …}."""
    return traverse_util.flatten_dict(nnx.to_pure_dict(state), sep="/")
