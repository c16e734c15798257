"""A layer with its normalization, built and used within one trace: the numbers of its parts may be traced."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jax import Array

from gradlab.nn.plan import Plan
from gradlab.numerics.convolution import convolve
from gradlab.numerics.tree import Tree, prefixed, under
from gradlab.parts.initializers.contract import Initializer, zero
from gradlab.parts.normalizations import NO_RANDOM_KEYS

Padding = Literal["same", "valid", "circular"]
_ZERO = Initializer(zero)  # for a module whose state is replaced right after it is built


@dataclass(frozen=True)
class WeightLayerSpec:
    """One layer of a block: where its parameters are, its sizes, and how its kernel is initialized.

    Without a window the layer is dense. With one it is a convolution, and fan_in and fan_out count channels.
    """

    prefix: str
    fan_in: int
    fan_out: int
    has_norm: bool
    bias: bool = True
    scale: float = 1.0  # multiplies what the initializer draws
    follows_activation: bool = True  # whether its input is an activation's output, and not the data
    pre_activation: bool = False  # whether norm and activation act on its input, and not on its output
    window: tuple[int, ...] = ()  # of a convolution, one entry per axis
    stride: int = 1
    padding: Padding = "same"


class Layer(nnx.Module):
    """The layer's module; it lives no longer than its trace.

    `linear` and `norm` are attributes because their names are the paths of the stored parameters.
    """

    def __init__(self, linear: nnx.Linear | nnx.Conv, norm: Any, place: str) -> None:
        self.linear = linear
        self.norm = norm
        self.place = place if norm is not None else "none"

    def affine(self, h: Array) -> Array:
        """W h + b, W the kernel as its normalization makes it: (examples, …, fan_in) -> (examples, …, fan_out)."""
        if self.place == "kernel":
            self.linear.kernel[...] = self.norm(self.linear.kernel[...])
        z: Array = self.linear(h)
        return z

    def norm_before(self, z: Array) -> Array:
        """norm(z) of the same shape where the normalization acts before the activation; else z."""
        if self.place != "before":
            return z
        if z.ndim > 2:
            return self._rematerialized_norm(z)
        normalized: Array = self.norm(z)
        return normalized

    def _rematerialized_norm(self, z: Array) -> Array:
        """norm(z) of an image, recomputed from its sums in the backward pass: faster than to store it."""
        graph, state = nnx.split(self.norm)

        def run(state: Any, z: Array) -> tuple[Array, Any]:
            norm = nnx.merge(graph, state)
            return norm(z), nnx.state(norm)

        rematerialized = jax.checkpoint(run, policy=_saves_sums, prevent_cse=False)
        normalized: Array
        normalized, new_state = rematerialized(state, z)
        nnx.update(self.norm, new_state)
        return normalized

    def norm_after(self, a: Array) -> Array:
        """norm(a) of the same shape where the normalization acts after the activation; else a."""
        if self.place != "after":
            return a
        normalized: Array = self.norm(a)
        return normalized

    def statistics(self) -> Tree:
        """The running averages after the calls so far."""
        return state_by_path(nnx.state(self, nnx.BatchStat))


def _saves_sums(primitive: Any, *_: Any, **__: Any) -> bool:
    return bool(primitive.name == "reduce_sum")


def _build(spec: WeightLayerSpec, plan: Plan, initializer: Initializer, rngs: nnx.Rngs) -> Layer:
    mirrored = initializer.mirrored and spec.follows_activation

    def kernel(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        half = initializer.kernel(key, (*shape[:-2], shape[-2] // 2, shape[-1]) if mirrored else shape)
        drawn = jnp.concatenate([half, -half], axis=-2) if mirrored else half
        return (drawn if spec.scale == 1 else spec.scale * drawn).astype(dtype)

    options: dict[str, Any] = {
        "use_bias": spec.bias,
        "kernel_init": kernel,
        "bias_init": lambda key, shape, dtype: initializer.bias(key, shape).astype(dtype),
        "param_dtype": plan.param_dtype,
        "dtype": plan.dtype,
        "rngs": rngs,
    }
    linear: nnx.Linear | nnx.Conv
    if spec.window:
        options |= {"padding": spec.padding.upper(), "conv_general_dilated": convolve}
        linear = nnx.Conv(spec.fan_in, spec.fan_out, spec.window, spec.stride, **options)
    else:
        linear = nnx.Linear(spec.fan_in, spec.fan_out, **options)
    make, place = plan.normalization.make, plan.normalization.place
    if make is None or not spec.has_norm:
        return Layer(linear, None, place)
    norm: Any = make(_norm_width(spec, plan.activation.width_factor, place), plan.dtype)
    if place == "kernel":
        norm.start(linear.kernel[...])
    return Layer(linear, norm, place)


def _norm_width(spec: WeightLayerSpec, width_factor: int, place: str) -> int:
    """How many units the normalization acts on."""
    if spec.pre_activation and place != "kernel":
        return spec.fan_in if place == "after" else spec.fan_in // width_factor
    return spec.fan_out * (width_factor if place == "after" else 1)


def draw(spec: WeightLayerSpec, plan: Plan, key: Array) -> tuple[Tree, Tree]:
    """The layer's first parameters and statistics, by path."""
    module = _build(spec, plan, plan.initializer, nnx.Rngs(key))
    params, stats = (state_by_path(nnx.state(module, variable)) for variable in (nnx.Param, nnx.BatchStat))
    return prefixed(params, spec.prefix), prefixed(stats, spec.prefix)


def layer(spec: WeightLayerSpec, plan: Plan, params: Tree, stats: Tree, train: bool) -> Layer:
    """The layer's module, filled with its entries of a block's parameters and statistics."""
    module = _build(spec, plan, _ZERO, NO_RANDOM_KEYS)
    entries = under(params | stats, spec.prefix)
    entries = {path: value for path, value in entries.items() if path.startswith(("linear/", "norm/"))}
    nnx.update(module, traverse_util.unflatten_dict(entries, sep="/"))
    module.set_attributes(use_running_average=not train, raise_if_not_found=False)
    return module


def state_by_path(state: Any) -> Tree:
    """A module's state by path: {"linear/kernel": …}."""
    by_path: Tree = traverse_util.flatten_dict(nnx.to_pure_dict(state), sep="/")
    return by_path
