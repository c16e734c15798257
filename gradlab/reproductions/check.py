"""What a claim is compared with, and how it gets its runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradlab.report.result import RunResult


@dataclass(frozen=True)
class Check:
    """One published number beside the one that gradlab measures, and the interval that it must lie in.

    published: a number, or the two ends of a range. low, high: the accepted interval, its ends included; infinite where
    there is no limit.
    """

    quantity: str
    published: float | tuple[float, float]
    low: float
    high: float
    measured: float

    @property
    def passed(self) -> bool:
        """Whether the measured number is finite and in the accepted interval."""
        return math.isfinite(self.measured) and self.low <= self.measured <= self.high


@dataclass(frozen=True)
class Study:
    """The runs of one claim.

    run: does what `gradlab run` does with these words, and returns the stored runs, one for each cell of the grid; a
    run that is already stored is not trained again. It raises RecipeError for a wrong word, RuntimeError for a run
    that failed; a diverged run is a result.
    """

    name: str
    run: Callable[..., "list[RunResult]"]


def near(
    quantity: str, published: float, measured: float, *, relative: float = 0.0, absolute: float = 0.0
) -> Check:
    """A check that accepts published ± (relative·|published| + absolute)."""
    margin = relative * abs(published) + absolute
    return Check(quantity, published, published - margin, published + margin, float(measured))


def within_factor(quantity: str, published: float, measured: float, factor: float) -> Check:
    """A check that accepts published ÷ factor to published · factor; `published` and `factor` are positive."""
    return Check(quantity, published, published / factor, published * factor, float(measured))


def between(
    quantity: str,
    published: float | tuple[float, float],
    measured: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> Check:
    """A check that accepts low to high, or one side of a limit."""
    return Check(quantity, published, low, high, float(measured))
