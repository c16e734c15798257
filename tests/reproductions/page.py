"""Writes docs/reproduce.md: `python -m tests.reproductions.page` measures every claim, with names only those.

Claims are measured in the current folder, whose outputs/reproduce holds their runs: remove it to have true seconds.
"""

import re
import sys
from pathlib import Path

from gradlab.commands.reproduce import Reproduction, cells, reproduce
from gradlab.reproductions.registry import Claim, claims

PATH = Path(__file__).parent.parent.parent / "docs" / "reproduce.md"
END = "\n## The claims\n"
HEAD = "| quantity | published | accepted | measured | |\n|---|---|---|---|---|"


def sections() -> dict[str, str]:
    """The sections of the page by the name of their claim."""
    parts = re.split(r"^### (\w+)\n", PATH.read_text("utf-8").partition(END)[2], flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def section(reproduction: Reproduction) -> str:
    """What was published, and the checks with what was measured."""
    rows = [f"| {' | '.join(cells(check))} |" for check in reproduction.checks]
    count = sum(check.passed for check in reproduction.checks)
    outcome = f"{count} of {len(rows)} checks passed in {reproduction.seconds:.0f} s."
    return "\n".join([statement(reproduction.claim), "", HEAD, *rows, "", outcome])


def statement(claim: Claim) -> str:
    """The claim and its source."""
    return f"{claim.text} ({claim.source})"


def write(texts: dict[str, str]) -> None:
    """Put the sections below the introduction, after a line for each in a table."""
    introduction = PATH.read_text("utf-8").partition("\n| claim |")[0]
    table = ["\n| claim | source | checks passed | seconds |", "|---|---|---|---|"]
    for name in sorted(texts):
        passed, seconds = re.search(
            r"^(\d+ of \d+) checks passed in (\d+) s", texts[name], re.MULTILINE
        ).groups()
        table.append(f"| [{name}](#{name}) | {claims()[name].source} | {passed} | {seconds} |")
    below = [f"\n### {name}\n\n{texts[name]}" for name in sorted(texts)]
    PATH.write_text("\n".join([introduction, *table, END.rstrip("\n"), *below]) + "\n", "utf-8")


def main(names: list[str]) -> None:
    """Measure the claims of these names, or all, and write the page; sections of claims that are gone go too."""
    texts = {name: text for name, text in sections().items() if name in claims()}
    for name in names or claims():
        print(name, flush=True)
        reproduction = reproduce(claims()[name])
        if reproduction.problem:
            raise SystemExit(f"{name}: {reproduction.problem}")
        write(texts := texts | {name: section(reproduction)})


if __name__ == "__main__":
    main(sys.argv[1:])
