"""The commands and their flags, read from the source files of this folder.

A module is a command if its first line is "`gradlab NAME …`: summary"; its flags are its `add_argument` calls.
Nothing is imported, because help and Tab must answer at once.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
_FIRST_LINE = re.compile(r'^"""`gradlab (?P<name>[\w-]+)[^`]*`: (?P<summary>.+?)\.?(?:""")?$')


class Flag(NamedTuple):
    """An optional argument of a command."""

    names: tuple[str, ...]  # ("-m", "--multirun")
    value: str  # what stands for its value in the help, "" if it takes none
    help: str

    def __str__(self) -> str:
        return f"{', '.join(self.names)} {self.value}".strip()


@cache
def commands() -> dict[str, str]:
    """The commands with their summaries, `run` first and the others by name."""
    summaries: dict[str, str] = {}
    for file in FOLDER.glob("*.py"):
        with file.open(encoding="utf-8") as lines:
            match = _FIRST_LINE.match(lines.readline().rstrip())
        if match and module(match["name"]) == f"gradlab.commands.{file.stem}":
            summaries[match["name"]] = match["summary"]
    return dict(sorted(summaries.items(), key=lambda item: (item[0] != "run", item[0])))


def module(command: str) -> str:
    """The name of the command's module: `suggest-clip` is `gradlab.commands.suggest_clip`."""
    return f"gradlab.commands.{command.replace('-', '_')}"


def flags(command: str) -> list[Flag]:
    """The flags of a command, but for --help; none if there is no such command."""
    return list(_flags(command)) if command in commands() else []


def _flags(command: str) -> Iterator[Flag]:
    file = FOLDER / f"{module(command).rpartition('.')[2]}.py"
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
            names = tuple(filter(_is_flag, map(_constant, node.args)))
            keywords = {keyword.arg: _constant(keyword.value) for keyword in node.keywords}
            if names:
                yield Flag(names, keywords.get("metavar", ""), keywords.get("help", ""))


def _is_flag(word: str) -> bool:
    return word.startswith("-")


def _constant(node: ast.expr) -> str:
    """The text of a string literal; "" for any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
