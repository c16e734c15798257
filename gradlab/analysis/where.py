"""Conditions on the rows of a study, as `depth>20 and signal=vanishing`: parsed here, never evaluated by Python.

    condition:  comparisons joined by `and`, `or`, `not` and parentheses; `not` binds closest, `or` least
    comparison: COLUMN OPERATOR VALUE, the operators = == != > >= < <= and ~ (contains, whatever the case)
    VALUE:      a number, a word, or words in quotes

What was not measured (null, NaN) satisfies no comparison and no negation of one; `=none` finds null and the option
`none`, `!=none` everything else.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gradlab.recipe.errors import RecipeError, hint

SHORT = {
    "signal": "signal_start",
    "gain": "gain_start",
    "decades": "decades_start",
    "score": "test_score",
    "loss": "train_loss",
}  # what a word stands for that is no column itself
LONGEST, DEEPEST = 10_000, 50  # characters, and parentheses in each other

Row = dict[str, Any]
Condition = Callable[[Row], bool | None]  # None: neither true nor false, as what it asks for was not measured
_ORDER = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_OPERATORS = ("=", "==", "!=", "~", *_ORDER)
_TOKEN = re.compile(r"""\s*(==|!=|>=|<=|[=<>~()]|"[^"]*"|'[^']*'|[^\s=!<>~()"']+)""")


class Value(NamedTuple):
    """What a column is compared with: its text, and its number where it is one."""

    text: str
    number: float | None
    is_none: bool


def column_of(word: str, columns: Iterable[str]) -> str:
    """The column that a word stands for: itself, or one with a short name as `signal`.

    Raises:
        RecipeError: there is none.
    """
    columns = list(columns)
    for name in (word, SHORT.get(word), word.removesuffix(".name"), f"{word}.name"):
        if name in columns:
            return str(name)
    raise RecipeError(f"no run has a column '{word}'{hint(word, [*columns, *SHORT])}")


def select(rows: list[Row], expression: str) -> list[Row]:
    """The rows that satisfy a condition.

    Raises:
        RecipeError: the expression is no condition on the columns that the rows have.
    """
    condition = Parser(expression, rows).parsed()
    return [row for row in rows if condition(row)]


class Parser:
    """Reads one expression, token by token."""

    def __init__(self, expression: str, rows: list[Row]) -> None:
        if len(expression) > LONGEST:
            raise RecipeError(f"--where has {len(expression):,} characters; give at most {LONGEST:,}")
        self._expression = expression
        self._tokens = self._split()
        self._rows = rows
        self._columns = list(dict.fromkeys(name for row in rows for name in row))
        self._depth = 0

    def parsed(self) -> Condition:
        """The condition that the whole expression is."""
        condition = self._any()
        if self._tokens:
            raise self._error(f"'{self._tokens[0]}' is not expected; join comparisons by 'and' or 'or'")
        return condition

    def _split(self) -> list[str]:
        tokens, place, text = [], 0, self._expression.rstrip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise self._error(f"'{text[place:].strip()[:20]}' cannot be read; is a quote left open?")
            tokens.append(token[1])
            place = token.end()
        return tokens

    def _any(self) -> Condition:
        conditions = [self._all()]
        while self._next_is("or"):
            conditions.append(self._all())
        return lambda row: _either([condition(row) for condition in conditions])

    def _all(self) -> Condition:
        conditions = [self._single()]
        while self._next_is("and"):
            conditions.append(self._single())
        return lambda row: _not(_either([_not(condition(row)) for condition in conditions]))

    def _single(self) -> Condition:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(f"it has more than {DEEPEST} levels")
        if self._next_is("not"):
            inner = self._single()
            condition: Condition = lambda row: _not(inner(row))
        elif self._next_is("("):
            condition = self._any()
            if not self._next_is(")"):
                raise self._error("a ')' is missing")
        else:
            condition = self._comparison()
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        word = self._take("a column")
        column = column_of(word, self._columns)
        sign = self._take(f"one of {' '.join(_OPERATORS)} after '{word}'")
        if sign not in _OPERATORS:
            raise self._error(f"'{sign}' follows '{word}'; write one of {' '.join(_OPERATORS)} there")
        value = _value(self._take(f"a number or a word after '{word}{sign}'"))
        self._require_comparable(word, column, sign, value)
        return lambda row: _compared(row.get(column), sign, value)

    def _require_comparable(self, word: str, column: str, sign: str, value: Value) -> None:
        """Raise a RecipeError for an order of words, and a word where the column holds numbers only."""
        values = [row[column] for row in self._rows if row.get(column) is not None]
        numbers = [entry for entry in values if _is_number(entry)]
        if sign in _ORDER and (value.number is None or (values and not numbers)):
            raise self._error(f"'{word}{sign}{value.text}' orders words; use = != or ~, or compare a number")
        if len(numbers) == len(values) > 0 and value.number is None and not value.is_none and sign != "~":
            raise self._error(f"'{word}' holds numbers, and '{value.text}' is none")

    def _next_is(self, word: str) -> bool:
        """Whether the next token is this one, which is taken then."""
        if self._tokens[:1] != [word]:
            return False
        del self._tokens[0]
        return True

    def _take(self, what: str) -> str:
        if not self._tokens or self._tokens[0] in ("(", ")"):
            raise self._error(f"{what} is missing")
        return self._tokens.pop(0)

    def _error(self, problem: str) -> RecipeError:
        return RecipeError(f"--where '{self._expression.strip()}': {problem}")


def _value(token: str) -> Value:
    if token[0] in "\"'":
        return Value(token[1:-1], None, False)
    try:
        number = float(token)
    except ValueError:
        return Value(token, None, token == "none")
    return Value(token, None if math.isnan(number) else number, False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _compared(value: Any, sign: str, other: Value) -> bool | None:
    if other.is_none and sign != "~":
        return (value is None or value == "none") == (sign != "!=")
    if value is None or value != value:
        return None
    if sign == "~":
        return other.text.casefold() in _text(value).casefold()
    if sign in _ORDER:
        holds = _is_number(value) and other.number is not None and _ORDER[sign](value, other.number)
        return bool(holds) if _is_number(value) else None
    equal = value == other.number if _is_number(value) else _text(value) == other.text
    return bool(equal == (sign != "!="))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _either(truths: list[bool | None]) -> bool | None:
    return True if True in truths else None if None in truths else False


def _not(truth: bool | None) -> bool | None:
    return None if truth is None else not truth
