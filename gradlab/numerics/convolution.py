"""A convolution whose gradient is fast inside `lax.scan` on CPU too, over any number of spatial axes.

XLA's CPU compiler brings convolutions into the form that its fast code takes (examples or rows first, channels
last) only outside loops, and a training step is always inside one. So both backward convolutions are written in
that form here: autodiff's own are up to 25 times slower.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

Strides = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]  # per spatial axis: zeros before, zeros after


def convolve(x: Array, kernel: Array, strides: Strides, padding: Any, **_: Any) -> Array:
    """The convolution of x (examples, spatial…, channels in) with a kernel (window…, channels in, channels out).

    It returns (examples, spatial…, channels out) and is called as `nnx.Conv` calls its convolution, but has neither
    dilation nor groups. `padding` is "SAME", "VALID" or a pair (before, after) per spatial axis.
    """
    window, spatial = kernel.shape[:-2], x.shape[1:-1]
    pads = lax.padtype_to_pads(spatial, window, strides, padding) if isinstance(padding, str) else padding
    return _convolve(x, kernel, tuple(strides), tuple((int(low), int(high)) for low, high in pads))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, strides: Strides, pads: Pads) -> Array:
    return _channels_last(x, kernel, pads, strides=strides)


def _channels_last(
    x: Array,
    kernel: Array,
    pads: Pads,
    strides: Strides | None = None,
    dilation: Strides | None = None,
    **options: Any,
) -> Array:
    """JAX's convolution with channels last; `dilation` is the distance between the entries of x."""
    axes = "DHW"[-(x.ndim - 2) :]
    names = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return lax.conv_general_dilated(
        x,
        kernel,
        strides or (1,) * len(axes),
        pads,
        lhs_dilation=dilation,
        dimension_numbers=names,
        **options,
    )


def _forward(x: Array, kernel: Array, strides: Strides, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return _channels_last(x, kernel, pads, strides=strides), (x, kernel)


def _backward(strides: Strides, pads: Pads, residuals: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """Both gradients as convolutions with stride 1; a stride s is a distance s between the entries of dy."""
    x, kernel = residuals
    axes = tuple(range(x.ndim - 2))
    window = kernel.shape[:-2]
    # how far before the padded end the last window ends: no window covers what is behind it
    reach = [(n - 1) * s + 1 for n, s in zip(dy.shape[1:-1], strides, strict=True)]
    ends = [n + low - r for n, (low, _), r in zip(x.shape[1:-1], pads, reach, strict=True)]
    flipped = jnp.flip(kernel, axes).swapaxes(-1, -2)
    dx_pads = tuple((k - 1 - low, end) for k, (low, _), end in zip(window, pads, ends, strict=True))
    dx = _channels_last(dy, flipped, dx_pads, dilation=strides)
    # channels as examples, examples as channels
    dkernel_pads = tuple((low, k - 1 - end) for k, (low, _), end in zip(window, pads, ends, strict=True))
    x_by_channel, dy_as_kernel = jnp.moveaxis(x, -1, 0), jnp.moveaxis(dy, 0, -2)
    x_by_channel = jnp.moveaxis(x_by_channel, 1, -1)
    dkernel = _channels_last(x_by_channel, dy_as_kernel, dkernel_pads, rhs_dilation=strides)
    return dx, jnp.moveaxis(dkernel, 0, -2)


_convolve.defvjp(_forward, _backward)
