"""Trees of arrays by path, {"hidden/linear/kernel": …}: how parameters, gradients and statistics are held."""

from collections.abc import Mapping
from typing import TypeVar

from jax import Array

Tree = dict[str, Array]
StackedAxes = dict[str, int]  # for each path, how many leading axes count layers: 1 in a stack, else 0
T = TypeVar("T")


def under(tree: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The entries whose path begins with `prefix`, without it."""
    return {path.removeprefix(prefix): value for path, value in tree.items() if path.startswith(prefix)}


def prefixed(tree: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The same entries with `prefix` in front of every path."""
    return {prefix + path: value for path, value in tree.items()}
