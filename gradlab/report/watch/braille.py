"""Curves over the layers of a network, drawn with characters of two by four dots: `⠉⠒⠤⣀`.

The axis is logarithmic and ends at whole powers of ten, which stand beside it. An exact zero is a 0 at its lower edge,
a number that is not finite a × at its upper one.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# the bit of a dot in a Braille character, by its row from the top and its column
DOTS = np.array([(0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80)])
FIRST_BRAILLE = 0x2800
ZERO, NOT_FINITE, PLAIN_NOT_FINITE, PLAIN_DOT = "0", "×", "x", "*"
LEAST_PLOT = 4  # characters for the curve beside its axis

Array = NDArray[np.float64]


def power(exponent: int) -> str:
    """`1e-3`: ten to this power."""
    return f"1e{exponent:+d}" if exponent else "1"


def ends(log10: Array) -> tuple[int, int]:
    """The whole powers of ten between which all finite values lie, (0, 1) without any; always a decade or more."""
    finite = log10[np.isfinite(log10)]
    if not finite.size:
        return 0, 1
    low, high = math.floor(finite.min()), math.ceil(finite.max())
    return low, max(high, low + 1)


class Profile(NamedTuple):
    """log10 of a size at the layers where it was measured, both (n,), of a network whose last layer is `last`."""

    layers: NDArray[np.int64]
    log10: Array
    last: int


def curve(profile: Profile, width: int, height: int, plain: bool = False) -> list[str]:
    """A curve with its axis: `height` lines of `width` characters or fewer, and one with the first and last layer.

    An exact zero is −inf. `plain`: of ASCII characters only.
    """
    low, high = ends(profile.log10)
    labels = [power(high), *[""] * (height - 2), power(low)]
    room = max(map(len, labels))
    bar = "|" if plain else "│"
    columns = max(width - room - 1, LEAST_PLOT)
    level = np.where(np.isfinite(profile.log10), (profile.log10 - low) / (high - low), np.nan)
    cells = _cells(level, profile, columns, height, plain)
    lines = [f"{label:>{room}}{bar}{''.join(row)}" for label, row in zip(labels, cells, strict=True)]
    return [*lines, " " * (room + 1) + ends_line("0", str(profile.last), columns)]


def ends_line(first: str, last: str, width: int) -> str:
    """What stands at the two ends of an axis of this width."""
    return first.ljust(width - len(last)) + last


def _cells(level: Array, profile: Profile, columns: int, height: int, plain: bool) -> list[list[str]]:
    """The characters of a curve whose finite values have a level from 0 to 1, a list for each line from the top."""
    across, down = (1, 1) if plain else (2, 4)
    dots = _dots(level, profile, columns * across, height * down)
    cells = [[_character(dots, row, column, plain) for column in range(columns)] for row in range(height)]
    for layer, log10 in zip(profile.layers, profile.log10, strict=True):
        column = round(int(layer) * (columns - 1) / max(profile.last, 1))
        if log10 == -math.inf:
            cells[-1][column] = ZERO
        elif not math.isfinite(log10):
            cells[0][column] = PLAIN_NOT_FINITE if plain else NOT_FINITE
    return cells


def _character(dots: NDArray[np.bool_], row: int, column: int, plain: bool) -> str:
    if plain:
        return PLAIN_DOT if dots[row, column] else " "
    bits = int((dots[4 * row : 4 * row + 4, 2 * column : 2 * column + 2] * DOTS).sum())
    return chr(FIRST_BRAILLE + bits) if bits else " "


def _dots(level: Array, profile: Profile, columns: int, rows: int) -> NDArray[np.bool_]:
    """Which dots a curve has, (rows, columns) from the top: its lowest to its highest value in each column."""
    dots = np.zeros((rows, columns), bool)
    places = profile.layers * (columns - 1) / max(profile.last, 1)
    between = np.interp(np.arange(columns), places, level, left=np.nan, right=np.nan)
    column_of = np.rint(places).astype(int)
    for column in range(columns):
        inside = level[column_of == column]
        near = [
            *inside[np.isfinite(inside)],
            *between[column : column + 1][np.isfinite(between[column : column + 1])],
        ]
        if near and column and math.isfinite(between[column - 1]):  # joined to the column before
            near.append((between[column - 1] + near[-1]) / 2)
        if near:
            top, bottom = (round((1 - value) * (rows - 1)) for value in (max(near), min(near)))
            dots[top : bottom + 1, column] = True
    return dots


def beside(blocks: Sequence[list[str]], gap: int = 1) -> list[list[str]]:
    """Blocks of equal height next to each other: for each line the pieces, padded up to the next block."""
    widths = [max(map(len, block)) + gap for block in blocks]
    widths[-1] -= gap
    return [
        [piece.ljust(width) for piece, width in zip(pieces, widths, strict=True)]
        for pieces in zip(*blocks, strict=True)
    ]
