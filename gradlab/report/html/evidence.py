"""The findings of a diagnosis as rows of a table: each word with the numbers, layers and steps that it rests on."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gradlab.analysis.results import Diagnosis, Finding
from gradlab.analysis.wording import short_number, signed_decades
from gradlab.analysis.words import WORDS, Word

MOST_RANGES = 6  # of layers that a cell names
_SIGNED = ("decades", "update_decades", "growth", "log10_ratio")  # numbers that are powers of ten


class Evidence(NamedTuple):
    """One finding as the cells of a row; `word` has its rule in the glossary of the page."""

    word: str
    about: str
    at: str
    layers: str
    steps: str
    seeds: int
    numbers: str


def evidence(diagnosis: Diagnosis) -> list[Evidence]:
    """A row per finding."""
    return [_row(finding) for finding in diagnosis.findings]


def rules(words: Iterable[str]) -> dict[str, Word]:
    """The rule of each word, in the order of the tables of words."""
    used = set(words)
    return {word: rule for word, rule in WORDS.items() if word in used}


def _row(finding: Finding) -> Evidence:
    steps = list(dict.fromkeys(finding.steps))
    return Evidence(
        word=finding.word,
        about=finding.about,
        at=finding.at,
        layers=ranges(finding.layers),
        steps=" to ".join(map(str, steps)) if finding.about != "signal" else ", ".join(map(str, steps)),
        seeds=finding.seeds,
        numbers=_numbers(finding),
    )


def _numbers(finding: Finding) -> str:
    """`decades −0.6 (95 %: −1.0 to −0.3), gain 0.98`: those that were measured."""
    texts = []
    for name, number in finding.numbers.items():
        if number is None:
            continue
        text = f"{name.replace('_', ' ')} {_text(name, number)}"
        if name == "decades" and finding.interval is not None:
            text += f" (95 %: {' to '.join(map(signed_decades, finding.interval))})"
        texts.append(text)
    return ", ".join(texts)


def _text(name: str, number: float) -> str:
    if name in _SIGNED:
        return signed_decades(number)
    return short_number(number) if name.startswith("loss") or name.endswith("loss") else f"{number:.3g}"


def ranges(numbers: Sequence[int]) -> str:
    """`1–50`, `1, 3–5`: whole numbers with their runs joined; of many runs the first ones."""
    joined: list[list[int]] = []
    for number in sorted(set(numbers)):
        if joined and number == joined[-1][1] + 1:
            joined[-1][1] = number
        else:
            joined.append([number, number])
    texts = [str(first) if first == last else f"{first}–{last}" for first, last in joined]
    more = len(texts) - MOST_RANGES
    return ", ".join(texts[:MOST_RANGES]) + (f" and {more} more" if more > 0 else "")
