"""Pages of reports as tests read them: elements, texts, tables and data."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradlab.report.html.notebook import report
from tests import runs

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "input", "br", "img", "link"}


class Element(NamedTuple):
    """A start tag, with the tags that are open around it."""

    tag: str
    attributes: dict[str, str | None]
    around: tuple[str, ...]


class Page(HTMLParser):
    """The elements of a page, its texts by the innermost tag, and whether its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.source = text
        self.feed(text)
        self.unbalanced += self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.unbalanced.append(tag)
        else:
            self.open.pop()

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def of(self, tag: str) -> list[Element]:
        """The elements of this tag."""
        return [element for element in self.elements if element.tag == tag]

    def text(self, *tags: str) -> str:
        """What is read: all texts but those of scripts and styles, or those directly in these tags."""
        shown = [
            text for tag, text in self.texts if (tag in tags if tags else tag not in ("script", "style"))
        ]
        return "\n".join(shown)

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script draws."""
        (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', self.source)
        return json.loads(text)

    @property
    def ids(self) -> list[str]:
        """The names of all elements that have one."""
        return [str(element.attributes["id"]) for element in self.elements if "id" in element.attributes]


def page_of(*paths: Path) -> Page:
    """The page of the runs at and below the paths."""
    return Page(report(list(paths)).html)


def diverging(folder: Path) -> Path:
    """A run whose signal is zero and infinite at step 40, and NaN from step 50 on."""
    steps = list(range(0, 101, 10))
    backward, forward = runs.walk(6, 11), np.zeros((11, 8))
    backward[5:], forward[5:] = np.nan, np.nan
    backward[4, :3], backward[4, 3] = -np.inf, np.inf
    losses = [2.3, 2.1, 5.0, 1e3, 1e20] + [float("nan")] * 6
    nonfinite = [{"seed": 0, "step": 50, "where": "forward", "layer": 1, "name": "hidden 1"}]
    tables = [runs.layer_table(backward, steps, forward)], [runs.step_table(losses, steps)]
    return runs.write(folder, runs.recipe(depth=6), runs.status("diverged", nonfinite=nonfinite), *tables)
