"""docs/verdicts.md from the definitions of the words; `python -m tests.verdicts_page` writes it anew."""

from pathlib import Path

from gradlab.analysis.words import TABLES, Word

PAGE = Path(__file__).parent.parent / "docs" / "verdicts.md"
INTRODUCTION = """\
# Every word of a verdict

gradlab gives two verdicts, never one word for both: on the *signal*, at the first step and at the last, and on the
*training*. *Causes* stand beside them. This page, `gradlab explain WORD` and the `rules` of `gradlab diagnose --json`
are one text; `findings` there has for each word the seeds, layers, steps, numbers and the interval that it rests on.

The rules of a table are asked in its order: of several words that hold for a seed, the first is its verdict, and the
others are listed in `words`. Of several seeds, the training's verdict is that of most of them (of equal counts the
worst); the signal's is that of the intact seeds, unless the broken ones outnumber them. `--fail-on WORD,WORD` ends
`gradlab run` and `gradlab diagnose` with exit code 1 where one of the words holds, for any seed.
"""
HEADINGS = {
    "signal": "The signal",
    "training": "The training",
    "weights": "The weight gradients of a log without the backward signal",
    "cause": "Causes",
}


def page() -> str:
    """The whole page."""
    sections = [_section(HEADINGS[about], table) for about, table in TABLES.items()]
    return "\n".join([INTRODUCTION, *sections])


def _section(heading: str, table: dict[str, Word]) -> str:
    return "\n".join([f"## {heading}", "", *(_entry(word, entry) for word, entry in table.items())])


def _entry(word: str, entry: Word) -> str:
    return (
        f"### {word}\n\n{entry.rule}\n\n- Formula: {entry.formula}\n- Source: {entry.source}\n"
        f"- What misleads: {entry.misleads}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
