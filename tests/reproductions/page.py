"""Writes docs/reproduce.md: `python -m tests.reproductions.page` measures every claim, with names only those."""

import json
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from gradlab.commands.reproduce import cells
from gradlab.reproductions.check import Check
from gradlab.reproductions.registry import Claim, claims

PATH = Path(__file__).parent.parent.parent / "docs" / "reproduce.md"
END = "\n## The claims\n"
HEAD = "| quantity | published | accepted | measured | |\n|---|---|---|---|---|"


class Outcome(NamedTuple):
    """What `gradlab reproduce` says of one claim, and the seconds of a processor that it took."""

    code: int
    checks: list[Check]
    seconds: float
    output: str


def measured(name: str, folder: Path) -> Outcome:
    """One claim, run in this folder by a process of its own, which has compiled nothing before."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "gradlab", "reproduce", name, "--json"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    entries = json.loads(ended.stdout) if ended.stdout else [{"checks": []}]
    checks = [as_check(check) for check in entries[0]["checks"]]
    return Outcome(ended.returncode, checks, seconds, ended.stdout + ended.stderr)


def as_check(entry: dict[str, Any]) -> Check:
    """A check as `--json` prints it: what is not finite is null there."""
    low, high, value = (entry[key] for key in ("low", "high", "measured"))
    published = entry["published"]
    return Check(
        entry["quantity"],
        tuple(published) if isinstance(published, list) else published,
        -math.inf if low is None else low,
        math.inf if high is None else high,
        math.nan if value is None else value,
    )


def sections() -> dict[str, str]:
    """The sections of the page by the name of their claim."""
    parts = re.split(r"^### (\w+)\n", PATH.read_text("utf-8").partition(END)[2], flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def section(claim: Claim, checks: list[Check], seconds: float) -> str:
    """What was published, and the checks with what was measured."""
    rows = [f"| {' | '.join(cells(check))} |" for check in checks]
    passed = sum(check.passed for check in checks)
    outcome = f"{passed} of {len(rows)} checks passed in {seconds:.0f} s."
    return "\n".join([statement(claim), "", HEAD, *rows, "", outcome])


def statement(claim: Claim) -> str:
    """The claim and its source."""
    return f"{claim.text} ({claim.source})"


def write(texts: dict[str, str]) -> None:
    """Put the sections below the introduction, after a line for each in a table."""
    introduction = PATH.read_text("utf-8").partition("\n| claim |")[0].rstrip()
    table = ["", "| claim | source | checks passed | seconds |", "|---|---|---|---|"]
    for name in sorted(texts):
        match = re.search(r"^(\d+ of \d+) checks passed in (\d+) s", texts[name], re.MULTILINE)
        passed, seconds = match.groups()
        table.append(f"| [{name}](#{name}) | {claims()[name].source} | {passed} | {seconds} |")
    below = [f"\n### {name}\n\n{texts[name]}" for name in sorted(texts)]
    PATH.write_text("\n".join([introduction, *table, END.rstrip("\n"), *below]) + "\n", "utf-8")


def main(names: list[str]) -> None:
    """Measure the claims of these names, or all, and write the page; sections of claims that are gone go too."""
    texts = {name: text for name, text in sections().items() if name in claims()}
    for name in names or claims():
        with tempfile.TemporaryDirectory() as folder:
            outcome = measured(name, Path(folder))
        print(name, f"{outcome.seconds:.0f} s", "" if outcome.code == 0 else outcome.output, flush=True)
        if outcome.checks:
            write(texts := texts | {name: section(claims()[name], outcome.checks, outcome.seconds)})


if __name__ == "__main__":
    main(sys.argv[1:])
