"""Residual connections: (h, f(h), depth) -> the hidden block's output. α and the gain are in the docstrings."""

from collections.abc import Callable

from jax import Array

from gradlab.parts.family import Family

residual = Family("residual")
Residual = Callable[[Array, Array, int], Array]


@residual
def none() -> Residual:
    """h' = f(h)."""
    return lambda h, branch, depth: branch


@residual
def plain() -> Residual:
    """h' = h + f(h) (He et al. 2016): squared backward gain 1 + χ a block, so it explodes without scaling."""
    return lambda h, branch, depth: h + branch


@residual
def scaled() -> Residual:
    """h' = h + f(h)/√L for L blocks: (1 + χ/L)^L ≤ e^χ at any depth (Yang & Schoenholz 2017)."""
    return lambda h, branch, depth: h + branch / depth**0.5
