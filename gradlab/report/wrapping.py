"""Text for a terminal: broken between words, never within one, with the further lines indented."""

import re

from rich.cells import cell_len

from gradlab.recipe.printing import one_line, printable

NAME_WIDTH = 12  # of a sentence's name, as `training`, with the spaces behind it
INDENT = "  "  # of further lines where there is no name
LEAST_ROOM = 16  # characters behind the indent: a narrower terminal breaks lines itself
# what a word that is too long is broken behind: the folders of a path, else the parts of a name
_BREAKS = (r"(?<=/)", r"(?<=[-_,=])")


def lines_of(name: str, sentence: str, width: int) -> list[str]:
    """A sentence behind its name, further lines below its first word; without a name they are indented by two spaces.

    A word that is longer than a line is broken behind a sign between its parts, as a path behind a `/`.
    """
    start = f"{name:<{NAME_WIDTH - 1}} " if name else ""
    indent = " " * len(start) if name else INDENT
    room = max(width - len(indent), LEAST_ROOM)
    lines = [start]
    for word in printable(one_line(sentence)).split():
        for index, piece in enumerate(_pieces(word, room)):
            space = "" if index or lines[-1] in (start, indent) else " "
            if (
                cell_len(lines[-1] + space + piece) > max(width, len(indent) + LEAST_ROOM)
                and lines[-1].strip()
            ):
                lines.append(indent + piece)
            else:
                lines[-1] += space + piece
    return lines


def _pieces(word: str, room: int) -> list[str]:
    """The word, in pieces where it is longer than the room."""
    pieces = [word]
    for pattern in _BREAKS:
        parts = [re.split(pattern, piece) if cell_len(piece) > room else [piece] for piece in pieces]
        pieces = [piece for of_piece in parts for piece in of_piece if piece]
    return pieces
