"""The entry point: finds the command, imports only that one, and prints errors for a person to read.

Nothing here imports JAX, pandas or Hydra: help and Tab must answer at once.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from gradlab import __version__
from gradlab.commands.help import overview, run_help
from gradlab.commands.registry import commands, module
from gradlab.recipe import signals
from gradlab.recipe.errors import STORAGE, STORAGE_CODE, RecipeError, StorageError, hint
from gradlab.report.terminal import say


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; without `argv` it is the process's own, which ends with it.

    0 success, 1 a run failed, 2 bad input, 74 a file system took no file, 130 or 143 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without "▅" gets "?" instead of a traceback
    with signals.collected():
        code = _answer(words)
        if argv is None:
            signals.exit_at_once()
    return code


def _answer(words: list[str]) -> int:
    name = f"gradlab {words[0]}" if words and words[0] in commands() else "gradlab"
    try:
        with signals.raised():
            code = _dispatch(words)
            sys.stdout.flush()
            return code
    except RecipeError as error:
        say(f"{name}: {error}", sys.stderr)
        return 2
    except signals.Stop as stop:
        return stop.exit_code
    except KeyboardInterrupt:  # a second signal
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as in `gradlab ls | head`
        _close_output()
        return 0
    except StorageError as error:
        say(f"{name}: {error}", sys.stderr)
        return STORAGE_CODE
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        _close_output()
        say(f"{name}: {error.filename or 'the output'} cannot be written ({error.strerror})", sys.stderr)
        return STORAGE_CODE


def _close_output() -> None:
    """Python writes what is left of the output when it ends; it goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first in ("-h", "--help", "help"):
        say(overview())
    elif first == "--version":
        say(f"gradlab {__version__}")
    elif first == "--complete":
        from gradlab.commands.completion import candidates

        say("\n".join(candidates(os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", ""))))
    elif first == "--completion":
        from gradlab.commands.completion import script

        say(script(rest))
    elif first not in commands():
        suggestion = f"; did you mean 'gradlab run {first}'?" if "=" in first else hint(first, commands())
        raise RecipeError(f"there is no command '{first}'{suggestion}")
    elif first == "run" and {"-h", "--help"} & set(rest):
        say(run_help())
    else:
        import logging  # slow to import

        # of a font cache that cannot be written; it is made anew each time
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        return int(import_module(module(first)).main(rest))
    return 0
