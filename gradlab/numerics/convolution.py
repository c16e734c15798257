"""A convolution whose gradient is fast inside `lax.scan` on CPU too, over any number of axes of places.

XLA's CPU compiler brings convolutions into the form that its fast code takes (examples or rows first, channels
last) only outside of loops; a step of training is in a loop always. So both backward convolutions are written in
that form here: autodiff's own are up to 25 times slower.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

Ones = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


def convolve(x: Array, kernel: Array, strides: Ones, padding: Any, **_: Any) -> Array:
    """x (B, places…, C) with a kernel (window…, C, C'), as `nnx.Conv` asks for it, without dilation or groups."""
    window, places = kernel.shape[:-2], x.shape[1:-1]
    pads = lax.padtype_to_pads(places, window, strides, padding) if isinstance(padding, str) else padding
    return _convolve(x, kernel, tuple(strides), tuple((int(low), int(high)) for low, high in pads))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, strides: Ones, pads: Pads) -> Array:
    return _canonical(x, kernel, pads, strides=strides)


def _canonical(
    x: Array,
    kernel: Array,
    pads: Pads,
    strides: Ones | None = None,
    spread: Ones | None = None,
    **options: Any,
) -> Array:
    axes = "DHW"[-(x.ndim - 2) :]
    names = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return lax.conv_general_dilated(
        x, kernel, strides or (1,) * len(axes), pads, lhs_dilation=spread, dimension_numbers=names, **options
    )


def _forward(x: Array, kernel: Array, strides: Ones, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return _canonical(x, kernel, pads, strides=strides), (x, kernel)


def _backward(strides: Ones, pads: Pads, kept: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """Both gradients as convolutions with stride 1; a stride s is a distance s between the entries of dy."""
    x, kernel = kept
    axes = tuple(range(x.ndim - 2))
    window = kernel.shape[:-2]
    # how far the last window ends before the padded end: places that no window sees
    reach = [(n - 1) * s + 1 for n, s in zip(dy.shape[1:-1], strides, strict=True)]
    ends = [n + low - r for n, (low, _), r in zip(x.shape[1:-1], pads, reach, strict=True)]
    turned = jnp.flip(kernel, axes).swapaxes(-1, -2)
    around = tuple((k - 1 - low, end) for k, (low, _), end in zip(window, pads, ends, strict=True))
    dx = _canonical(dy, turned, around, spread=strides)
    # channels as examples, examples as channels
    inside = tuple((low, k - 1 - end) for k, (low, _), end in zip(window, pads, ends, strict=True))
    rows, columns = jnp.moveaxis(x, -1, 0), jnp.moveaxis(dy, 0, -2)
    rows = jnp.moveaxis(rows, 1, -1)
    dkernel = _canonical(rows, columns, inside, rhs_dilation=strides)
    return dx, jnp.moveaxis(dkernel, 0, -2)


_convolve.defvjp(_forward, _backward)
