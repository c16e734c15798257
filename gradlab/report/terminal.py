"""What is printed goes through here. Light, as help and Tab need it."""

import sys
from typing import TextIO

from gradlab.recipe.printing import printable


def say(text: object = "", file: TextIO | None = None) -> None:
    """Print a text, made printable; all that gradlab prints goes through here or through a console of `rich`."""
    print(printable(str(text)), file=file or sys.stdout, flush=file is not None)
