"""A text as tokens: its alphabet, and windows of it that do not overlap."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

_FEWEST_OCCURRENCES = 5  # rarer characters share token 0


def alphabet(text: str) -> dict[str, int]:
    """The token of every character that occurs at least five times: 1, 2, … in Unicode order."""
    counts = Counter(text)
    frequent = sorted(character for character in counts if counts[character] >= _FEWEST_OCCURRENCES)
    return {character: token for token, character in enumerate(frequent, start=1)}


def tokens(text: str, letters: dict[str, int]) -> NDArray[np.int32]:
    """(characters,): the token of every character, 0 for one that is not in the alphabet `letters`."""
    return np.array([letters.get(character, 0) for character in text], np.int32)


def windows(numbers: NDArray[np.int32], length: int) -> NDArray[np.int32]:
    """(windows, length): consecutive windows of the tokens `numbers`; the remainder at the end is dropped."""
    count = len(numbers) // length
    return numbers[: count * length].reshape(count, length)


def unseen(rows: NDArray[np.int32], train_rows: NDArray[np.int32] | None) -> NDArray[np.bool_]:
    """(windows,): which of the rows (windows, length) are not among the training rows: a text may repeat itself."""
    known_windows = set() if train_rows is None else {row.tobytes() for row in train_rows}
    return np.array([row.tobytes() not in known_windows for row in rows], bool)
