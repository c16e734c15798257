"""The claims, found by reading the modules of this folder.

A module is a claim if it has the texts `CLAIM` and `SOURCE`; its name is that of the claim. It is imported when the
claim is measured and not before, because help, Tab and --list must answer at once.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gradlab.reproductions.check import Check, Study

FOLDER = Path(__file__).parent


class Claim(NamedTuple):
    """A published claim."""

    name: str
    text: str  # what was published, one sentence
    source: str  # authors, year, place

    def measure(self, study: "Study") -> "list[Check]":
        """Run what the claim is about, and compare the numbers.

        Raises:
            RecipeError: a recipe of it cannot be run.
            RuntimeError: a run failed.
        """
        checks: list[Check] = import_module(f"gradlab.reproductions.{self.name}").measure(study)
        return checks


@cache
def claims() -> dict[str, Claim]:
    """The claims by name, sorted."""
    known = {}
    for file in sorted(FOLDER.glob("*.py")):
        texts = _texts(file)
        if {"CLAIM", "SOURCE"} <= set(texts):
            known[file.stem] = Claim(file.stem, texts["CLAIM"], texts["SOURCE"])
    return known


def _texts(file: Path) -> dict[str, str]:
    """The names at the top of a source file that stand for literal texts."""
    texts = {}
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            if isinstance(value, str):
                texts[node.targets[0].id] = value
    return texts
