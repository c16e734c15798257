"""What is printed: names and texts of files cannot command the terminal. Light, as help and Tab need it."""

import sys
import unicodedata
from typing import TextIO


def printable(text: str) -> str:
    """The text with everything that is no letter, sign, space or end of a line written as `\\u001b`.

    Control characters move the cursor, ring the bell and change colours; marks of direction and invisible characters
    make a name look like another.
    """
    return "".join(
        c if c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs" else _code(c) for c in text
    )


def _code(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def say(text: object = "", file: TextIO | None = None) -> None:
    """Print a text, made printable; all that gradlab prints goes through here or through a console of `rich`."""
    print(printable(str(text)), file=file or sys.stdout, flush=file is not None)
