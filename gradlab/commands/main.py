"""The door: finds the command, imports only that one, and tells errors to a person.

Nothing here imports JAX, pandas or Hydra: help and Tab must answer at once.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from gradlab import __version__
from gradlab.commands.help import COMMANDS, overview, run_help
from gradlab.recipe.errors import RecipeError, hint


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 something failed, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without "▅" gets "?" instead of a traceback
    try:
        return _dispatch(words)
    except RecipeError as error:
        name = f"gradlab {words[0]}" if words and words[0] in COMMANDS else "gradlab"
        print(_harmless(f"{name}: {error}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `gradlab ls | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(words: list[str]) -> int:
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first in ("-h", "--help", "help"):
        print(overview())
    elif first == "--version":
        print(f"gradlab {__version__}")
    elif first == "--complete":
        from gradlab.commands.completion import answer

        print("\n".join(answer(os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", ""))))
    elif first == "--completion":
        from gradlab.commands.completion import script

        print(script(rest))
    elif first not in COMMANDS:
        wanted = f"; did you mean 'gradlab run {first}'?" if "=" in first else hint(first, COMMANDS)
        raise RecipeError(f"there is no command '{first}'{wanted}")
    elif first == "run" and {"-h", "--help"} & set(rest):
        print(run_help())
    else:
        return int(import_module(f"gradlab.commands.{first.replace('-', '_')}").main(rest))
    return 0


def _harmless(text: str) -> str:
    """Control characters of names and files shown, not obeyed by the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
