"""Which values a number or a name may take, declared beside what takes them: `slope: NonNegative`."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, get_args, get_origin, runtime_checkable

from gradlab.recipe.errors import RecipeError, hint

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@runtime_checkable
class Limit(Protocol):
    """What a value is checked by; its text says what is possible."""

    def check(self, key: str, value: Any) -> Any:
        """The value as it is used, or a RecipeError that names the key, the value and what is possible."""


@dataclass(frozen=True)
class Bound:
    """A kind of value and the interval it must be from, or the names it must be one of.

    `words` may stand in the place of the value (`auto`); infinity is a value only where `finite` is false.
    """

    kind: type
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    among: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    finite: bool = True

    def __str__(self) -> str:
        if self.among:
            return f"one of {', '.join(self.among)}"
        limits = [_WORDS[self.kind]]
        if self.low > -math.inf:
            limits.append(f"{'above' if self.open_low else 'from'} {self.low:g}")
        if self.high < math.inf:
            limits.append(f"{'below' if self.open_high else 'to'} {self.high:.10g}")
        return " ".join([*limits, *(f"or {word}" for word in self.words)])

    def check(self, key: str, value: Any) -> Any:
        """`value` as this kind, or a RecipeError that names the key, the value and what is possible."""
        if self.among and value not in self.among:
            raise RecipeError(f"{key}={value} is not known{hint(str(value), self.among)}")
        if isinstance(value, str) and value in self.words:
            return value
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
        return above and below and (math.isfinite(value) or not self.finite)


@dataclass(frozen=True)
class Many:
    """A list of values of one kind, `[100, 200]`, or with `named` a mapping of names to such values."""

    each: Bound
    named: bool = False

    def __str__(self) -> str:
        return f"{'a mapping {name: …} to' if self.named else 'a list [a,b] of'} {self.each}"

    def check(self, key: str, value: Any) -> Any:
        """Every entry checked by the bound of each."""
        if not isinstance(value, dict if self.named else list):
            raise RecipeError(f"{key}={value} must be {self}")
        if isinstance(value, dict):
            return {str(name): self.each.check(f"{key}.{name}", one) for name, one in value.items()}
        return [self.each.check(key, one) for one in value]


def bound(annotation: Any) -> Limit:
    """The bound that a parameter's annotation declares: one of the kinds below, or a Literal of names."""
    if get_origin(annotation) is Literal:
        return Bound(str, among=get_args(annotation))
    return next(extra for extra in get_args(annotation) if isinstance(extra, Limit))


Number = Annotated[float, Bound(float)]
Positive = Annotated[float, Bound(float, 0, open_low=True)]
NonNegative = Annotated[float, Bound(float, 0)]
Share = Annotated[float, Bound(float, 0, 1, open_high=True)]  # [0, 1)
Fraction = Annotated[float, Bound(float, 0, 1, open_low=True, open_high=True)]  # (0, 1)
LARGEST = 2**31 - 1  # the tables and the compiled programs count in int32
Size = Annotated[int, Bound(int, 1, LARGEST)]
Count = Annotated[int, Bound(int, 0, LARGEST)]
Flag = Annotated[bool, Bound(bool)]
Text = Annotated[str, Bound(str)]
