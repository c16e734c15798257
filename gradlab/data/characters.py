"""A text as whole numbers: its alphabet, and its windows, none of which overlaps another."""

from collections import Counter

import numpy as np

_RARE = 5  # a character that occurs less often is the "other" one, token 0


def alphabet(text: str) -> dict[str, int]:
    """The characters of `text` that occur often enough, numbered from 1 on in the order of Unicode."""
    counts = Counter(text)
    return {one: token for token, one in enumerate(sorted(c for c in counts if counts[c] >= _RARE), start=1)}


def tokens(text: str, known: dict[str, int]) -> np.ndarray:
    """Every character's number; 0 where it is none of the known."""
    return np.array([known.get(one, 0) for one in text], np.int32)


def windows(numbers: np.ndarray, length: int) -> np.ndarray:
    """(windows, length): one behind the other; what is left over at the end is dropped."""
    count = len(numbers) // length
    return numbers[: count * length].reshape(count, length)


def unseen(rows: np.ndarray, train: np.ndarray | None) -> np.ndarray:
    """Which windows do not stand among those trained on: a text may say the same twice."""
    seen = set() if train is None else {row.tobytes() for row in train}
    return np.array([row.tobytes() not in seen for row in rows], bool)
