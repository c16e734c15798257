"""Waiting for another process, long enough for the slowest machine."""

import time
from collections.abc import Callable

LONGEST = 600.0  # seconds


def until(holds: Callable[[], object], seconds: float = LONGEST) -> None:
    """Wait until `holds()` is true; an AssertionError after so many seconds."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"waited {seconds} s"
        time.sleep(0.002)
