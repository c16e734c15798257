"""The values that a parameter may take, declared by its annotation: `slope: NonNegative`."""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, get_args, get_origin, runtime_checkable

from gradlab.recipe.errors import RecipeError, hint

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@runtime_checkable
class Limit(Protocol):
    """What a value must satisfy; `str(limit)` says which values are possible."""

    def check(self, key: str, value: Any) -> Any:
        """The value as it is used.

        Raises:
            RecipeError: naming the key, the value and what is possible.
        """


@dataclass(frozen=True)
class Bound:
    """The type of a value and the interval that it must lie in, or the names of which it must be one.

    `words` are names that may replace a number (`auto`); infinity is allowed only where `finite` is false.
    """

    value_type: type
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
        limits = [_WORDS[self.value_type]]
        if self.low > -math.inf:
            limits.append(f"{'above' if self.open_low else 'from'} {self.low:g}")
        if self.high < math.inf:
            limits.append(f"{'below' if self.open_high else 'to'} {self.high:.10g}")
        return " ".join([*limits, *(f"or {word}" for word in self.words)])

    def check(self, key: str, value: Any) -> Any:
        """`value` as this type.

        Raises:
            RecipeError: naming the key, the value and what is possible.
        """
        if self.among and value not in self.among:
            raise RecipeError(f"{key}={value} is not known{hint(str(value), self.among)}")
        if isinstance(value, str) and value in self.words:
            return value
        if self.value_type is float and type(value) is int:
            with suppress(OverflowError):  # an integer beyond the largest float stays one, and is refused
                value = float(value)
        if type(value) is not self.value_type or not self._contains(value):
            raise RecipeError(f"{key}={value} must be {self}")
        return value

    def _contains(self, value: Any) -> bool:
        if self.value_type not in (int, float):
            return True
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and (math.isfinite(value) or not self.finite)


@dataclass(frozen=True)
class Many:
    """A list of values with one bound, `[100, 200]`; with `named` a mapping from names to such values."""

    entry: Bound
    named: bool = False

    def __str__(self) -> str:
        return f"{'a mapping {name: …} to' if self.named else 'a list [a,b] of'} {self.entry}"

    def check(self, key: str, value: Any) -> Any:
        """The list or mapping with every entry checked.

        Raises:
            RecipeError: naming the key, the value and what is possible.
        """
        if not isinstance(value, dict if self.named else list):
            raise RecipeError(f"{key}={value} must be {self}")
        if isinstance(value, dict):
            return {str(name): self.entry.check(f"{key}.{name}", entry) for name, entry in value.items()}
        return [self.entry.check(key, entry) for entry in value]


@dataclass(frozen=True)
class OneOrMany:
    """One value for all, or a list of two values or more."""

    entry: Bound

    def __str__(self) -> str:
        return f"{self.entry}, or a list [a,b] of them"

    def check(self, key: str, value: Any) -> Any:
        """The value, or the list with every entry checked.

        Raises:
            RecipeError: naming the key, the value and what is possible.
        """
        if not isinstance(value, list):
            return self.entry.check(key, value)
        if len(value) < 2:
            raise RecipeError(f"{key}={value} must be {self}")
        return [self.entry.check(key, entry) for entry in value]


def bound(annotation: Any) -> Limit:
    """The bound that a parameter's annotation declares: Annotated with a Limit, or a Literal of names.

    Raises:
        TypeError: where the annotation declares none; the contributor of the part must add one.
    """
    if get_origin(annotation) is Literal:
        return Bound(str, among=get_args(annotation))
    for extra in get_args(annotation):
        if isinstance(extra, Limit):
            return extra
    raise TypeError(
        f"the annotation {annotation!r} declares no bound; annotate the parameter with one of "
        "gradlab.recipe.bounds (Positive, Count, Flag, ...) or with a Literal of names"
    )


Number = Annotated[float, Bound(float)]
Positive = Annotated[float, Bound(float, 0, open_low=True)]
NonNegative = Annotated[float, Bound(float, 0)]
Share = Annotated[float, Bound(float, 0, 1, open_high=True)]  # [0, 1)
Fraction = Annotated[float, Bound(float, 0, 1, open_low=True, open_high=True)]  # (0, 1)
LARGEST = 2**31 - 1  # the tables and the compiled programs count in int32
Size = Annotated[int, Bound(int, 1, LARGEST)]
Widths = Annotated[int | list[int], OneOrMany(Bound(int, 1, LARGEST))]
Depth = Annotated[int, Bound(int, 1, 100_000)]  # layers: each has a row in every table
Branch = Annotated[int, Bound(int, 1, 100)]  # layers of one block, each compiled by itself
Evaluations = Annotated[int, Bound(int, 1, 1_000_000)]  # of the loss in a step
Count = Annotated[int, Bound(int, 0, LARGEST)]
Flag = Annotated[bool, Bound(bool)]
Text = Annotated[str, Bound(str)]
