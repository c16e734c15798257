"""What a person must change, told in a line or two."""

import difflib
from collections.abc import Iterable


class RecipeError(ValueError):
    """The recipe, the command or the folder given cannot be used; the message says what to do."""


class NonFiniteError(ArithmeticError):
    """The loss or its gradient left the finite numbers and `on_nonfinite=raise` asked to be told."""


def hint(word: str, known: Iterable[str]) -> str:
    """What a misspelt `word` was probably meant to be, as the end of a sentence; else what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(known)}"
