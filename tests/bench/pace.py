"""CPU seconds of alternatives, interleaved, so that a noisy machine disturbs all alike."""

import time
from collections.abc import Callable, Mapping


def interleaved(alternatives: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least CPU seconds of each alternative over so many rounds; the first round warms up."""
    best: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name, work in alternatives.items():
            began = time.process_time()
            work()
            spent = time.process_time() - began
            if turn:
                best[name] = min(spent, best.get(name, spent))
    return best
