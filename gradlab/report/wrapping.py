"""Text for a terminal: broken between words, never within one, with the further lines indented."""

import textwrap

from gradlab.recipe.printing import one_line, printable

NAME_WIDTH = 12  # of a sentence's name, as `training`, with the spaces behind it
LEAST_WIDTH = 20  # characters: below them nothing is gained by breaking lines


def lines_of(name: str, sentence: str, width: int) -> list[str]:
    """A sentence behind its name, further lines below its first word; without a name indented by two spaces.

    A word that is longer than the width, as a path, stays in one piece.
    """
    return textwrap.wrap(
        printable(one_line(sentence)),
        max(width, LEAST_WIDTH),
        initial_indent=f"{name:<{NAME_WIDTH - 1}} " if name else "",
        subsequent_indent=" " * (NAME_WIDTH if name else 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
