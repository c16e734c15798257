"""docs/reproduce.md shows every claim, as it is published and as it was measured."""

import math
import re

import pytest

from gradlab.reproductions.registry import claims
from tests.reproductions.page import PATH, sections, statement


def rows(text: str) -> list[list[str]]:
    """The cells of the section's table, without its heading."""
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return table[1:]


def interval(text: str) -> tuple[float, float]:
    """The accepted interval that a cell of the page states."""
    if text.startswith("≤"):
        return -math.inf, float(text[1:])
    if text.startswith("≥"):
        return float(text[1:]), math.inf
    low, high = text.split(" to ")
    return float(low), float(high)


def test_the_page_has_a_section_for_every_claim():
    assert list(sections()) == sorted(claims())
    table = re.findall(
        r"^\| \[(\w+)\]\(#(\w+)\) \| (.*) \| (\d+ of \d+) \| (\d+) \|$", PATH.read_text("utf-8"), re.M
    )
    assert [(name, source) for name, _, source, *_ in table] == [
        (name, claims()[name].source) for name in sorted(claims())
    ]


@pytest.mark.parametrize("name", claims())
def test_a_section_says_what_was_published_and_what_was_measured(name):
    text = sections()[name]
    assert text.startswith(statement(claims()[name]))
    passed = 0
    for _, published, accepted, measured, outcome in rows(text):
        low, high = interval(accepted)
        assert math.isfinite(float(published.split(" to ")[0]))
        assert (outcome == "pass") == (low <= float(measured) <= high)
        passed += outcome == "pass"
    assert f"{passed} of {len(rows(text))} checks passed in " in text
