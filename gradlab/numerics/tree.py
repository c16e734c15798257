"""Trees of arrays by path, {"hidden/linear/kernel": …}: how parameters, gradients and statistics are held."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

Tree = dict[str, Array]
StackedAxes = dict[str, int]  # for each path, how many leading axes count layers: 1 in a stack, else 0
RowNames = dict[str, list[str]]  # of each block of a network, by its name: the names of its layers
T = TypeVar("T")


def under(tree: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The entries whose path begins with `prefix`, without it."""
    return {path.removeprefix(prefix): value for path, value in tree.items() if path.startswith(prefix)}


def prefixed(tree: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The same entries with `prefix` in front of every path."""
    return {prefix + path: value for path, value in tree.items()}


def select(condition: Array, on_true: T, on_false: T) -> T:
    """`on_true` where the scalar `condition` holds, else `on_false`: two pytrees of the same structure and shapes."""
    selected: T = jax.tree.map(lambda a, b: jnp.where(condition, a, b), on_true, on_false)
    return selected


def matches(pattern: str, path: str, value: Array, stacked_axes: int, rows: RowNames) -> NDArray[np.bool_]:
    """Which layers of a stack a pattern matches, (layers, 1, …), or whether it matches the array, ()."""
    block, _, parameter = path.partition("/")
    matched = np.array([fnmatchcase(f"{row}/{parameter}", pattern) for row in rows[block]])
    return matched.reshape(-1, *[1] * (value.ndim - 1)) if stacked_axes else matched[0]
