"""The order of the layers of a log: that of their first appearance, but numbers in their names by size."""

import re
from collections.abc import Iterable


def ordered(names: Iterable[str]) -> list[str]:
    """The different names in the order of appearance, and among names that differ by a number that of the numbers.

    A log that sorts its columns as words has layers.10 before layers.2; here layers.2 comes first.
    """
    different = list(dict.fromkeys(names))
    ranks: dict[
        tuple[str, ...], int
    ] = {}  # of each beginning of a name, in the order of its first appearance
    keys = {name: _key(name, ranks) for name in different}
    return sorted(different, key=keys.__getitem__)


def _key(name: str, ranks: dict[tuple[str, ...], int]) -> tuple[int, ...]:
    """Words by their rank after the same beginning, numbers, which stand at the odd places, by size."""
    parts = re.split(r"(\d+)", name)
    beginnings = [tuple(parts[: index + 1]) for index in range(len(parts))]
    return tuple(
        int(part) if index % 2 else ranks.setdefault(beginnings[index], len(ranks))
        for index, part in enumerate(parts)
    )
