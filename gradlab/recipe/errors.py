"""Errors that are addressed to a person, each in a line or two."""

import difflib
from collections.abc import Iterable

from gradlab.recipe.printing import one_line, shortened


class RecipeError(ValueError):
    """The recipe, the command or the folder cannot be used; the message says what to change.

    Each of `lines` is one line: a line break inside it, as of a name, is written as `\\n`, and the middle of one that
    is very long, as with a value of a million characters, is left out.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(shortened(one_line(line)) for line in lines))


class NonFiniteError(ArithmeticError):
    """The loss or its gradient is not finite, and the recipe has `on_nonfinite=raise`."""


def hint(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the known word closest to a misspelt `word`, else all known words."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(known)}"
