"""Which values a number or a name may take, declared beside what takes them: `slope: NonNegative`."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from gradlab.errors import RecipeError, hint

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Bound:
    """A kind of value and the interval it must be from, or the names it must be one of."""

    kind: type
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    among: tuple[str, ...] = ()

    def __str__(self) -> str:
        limits = [_WORDS[self.kind]]
        if self.low > -math.inf:
            limits.append(f"{'above' if self.open_low else 'from'} {self.low:g}")
        if self.high < math.inf:
            limits.append(f"{'below' if self.open_high else 'to'} {self.high:.10g}")
        return " ".join(limits)

    def check(self, key: str, value: Any) -> Any:
        """`value` as this kind, or a RecipeError that names the key, the value and what is possible."""
        if self.among and value not in self.among:
            raise RecipeError(f"{key}={value} is not known{hint(str(value), self.among)}")
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind or not self._holds(value):
            raise RecipeError(f"{key}={value} must be {self}")
        return value

    def _holds(self, value: Any) -> bool:
        if self.kind not in (int, float):
            return True
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return math.isfinite(value) and above and below


def bound(annotation: Any) -> Bound:
    """The bound that a parameter's annotation declares: one of the kinds below, or a Literal of names."""
    if get_origin(annotation) is Literal:
        return Bound(str, among=get_args(annotation))
    return next(extra for extra in get_args(annotation) if isinstance(extra, Bound))


Positive = Annotated[float, Bound(float, 0, open_low=True)]
NonNegative = Annotated[float, Bound(float, 0)]
Share = Annotated[float, Bound(float, 0, 1, open_high=True)]  # [0, 1)
Fraction = Annotated[float, Bound(float, 0, 1, open_low=True, open_high=True)]  # (0, 1)
LARGEST = 2**31 - 1  # the tables and the compiled programs count in int32
Size = Annotated[int, Bound(int, 1, LARGEST)]
Count = Annotated[int, Bound(int, 0, LARGEST)]
Flag = Annotated[bool, Bound(bool)]
Text = Annotated[str, Bound(str)]
