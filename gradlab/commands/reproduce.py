"""`gradlab reproduce NAME…`: run published claims again, and compare the published numbers with the measured ones."""

import json
import math
import textwrap
import time
from argparse import RawDescriptionHelpFormatter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from gradlab.commands.arguments import OUTPUTS, Arguments
from gradlab.recipe.errors import RecipeError, described, hint
from gradlab.report.terminal import say
from gradlab.reproductions.check import Check, Study
from gradlab.reproductions.registry import Claim, claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradlab.report.result import RunResult

FOLDER = f"{OUTPUTS}/reproduce"  # the runs of a claim are stored below it
ALL = "all"
WIDTH = 100
EPILOG = """\
example: gradlab reproduce glorot2010
         gradlab reproduce he_factors xi_growth --json
         gradlab reproduce --list

The exit code is 1 if a claim is not reproduced. Runs are stored below outputs/reproduce and are not trained again."""


@dataclass(frozen=True)
class Reproduction:
    """What came out of one claim; `problem` says why there are no checks."""

    claim: Claim
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""

    @property
    def reproduced(self) -> bool:
        """Whether there are checks and all of them passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)


def arguments() -> Arguments:
    """The arguments of `gradlab reproduce`."""
    parser = Arguments("reproduce", epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="claims, see --list; all: every one of them")
    parser.add_argument("--list", action="store_true", help="list the claims with their sources, and stop")
    parser.add_argument("--json", action="store_true", help="print a list with one object per claim")
    return parser


def main(argv: list[str]) -> int:
    """Measure the claims one after the other; exit code 1 if one of them is not reproduced.

    Raises:
        RecipeError: there is no claim of this name, or none was given.
    """
    options = arguments().parse_args(argv)
    chosen = chosen_claims(options.names or [ALL] if options.list else options.names)
    if options.list:
        say(_as_json([_identity(claim) for claim in chosen]) if options.json else listing(chosen))
        return 0
    reproductions = []
    for claim in chosen:
        if not options.json:
            say(heading(claim))
        reproductions.append(reproduce(claim))
        if not options.json:
            say(f"{result(reproductions[-1])}\n")
    count = sum(reproduction.reproduced for reproduction in reproductions)
    say(
        _as_json([_entry(reproduction) for reproduction in reproductions])
        if options.json
        else f"{count} of {len(chosen)} reproduced"
    )
    return 0 if count == len(chosen) else 1


def chosen_claims(names: list[str]) -> list[Claim]:
    """The claims of these names, each once, `all` for every claim.

    Raises:
        RecipeError: there is no claim of a name, or there are no names.
    """
    known = claims()
    if not names:
        raise RecipeError("give the names of claims, or all; --list lists them")
    for name in names:
        if name not in known and name != ALL:
            raise RecipeError(f"there is no claim '{name}'{hint(name, known)}")
    return list(known.values()) if ALL in names else [known[name] for name in dict.fromkeys(names)]


def reproduce(claim: Claim) -> Reproduction:
    """Measure one claim; what keeps it from being measured is its problem, and the next one is not concerned."""
    began = time.perf_counter()
    try:
        checks = claim.measure(Study(claim.name, runs_of(claim.name)))
        return Reproduction(claim, checks, time.perf_counter() - began)
    except RecipeError as error:
        return Reproduction(claim, seconds=time.perf_counter() - began, problem=str(error))
    except RuntimeError as error:  # a run of it failed
        return Reproduction(claim, seconds=time.perf_counter() - began, problem=described(error))


def runs_of(name: str) -> "Callable[..., list[RunResult]]":
    """What trains the runs of a claim, or reads them where they are stored."""

    def run_all(*words: str, **choices: Any) -> "list[RunResult]":
        from gradlab.commands.run import run

        stored = run(*words, f"outputs={FOLDER}", f"study={name}", **choices)
        return stored if isinstance(stored, list) else [stored]

    return run_all


def listing(chosen: list[Claim]) -> str:
    """Name, claim and source of each."""
    return "\n".join(heading(claim) for claim in chosen)


def heading(claim: Claim) -> str:
    """The claim and its source, below its name."""
    lines = textwrap.wrap(f"{claim.text} ({claim.source})", WIDTH - 2)
    return "\n  ".join([claim.name, *lines])


def result(reproduction: Reproduction) -> str:
    """The checks as a table, and how many passed."""
    from gradlab.report.summary import aligned

    seconds = f"{reproduction.seconds:.1f} s"
    if reproduction.problem:
        return f"  not measured: {reproduction.problem} ({seconds})"
    passed = sum(check.passed for check in reproduction.checks)
    word = "reproduced" if reproduction.reproduced else "not reproduced"
    rows = [["quantity", "published", "accepted", "measured", ""], *map(cells, reproduction.checks)]
    return (
        f"{aligned(rows, '  ')}\n  {word}: {passed} of {len(reproduction.checks)} checks passed ({seconds})"
    )


def cells(check: Check) -> list[str]:
    """A row of the table of checks."""
    published = check.published if isinstance(check.published, tuple) else (check.published,)
    return [
        check.quantity,
        " to ".join(map(_number, published)),
        accepted(check),
        _number(check.measured),
        "pass" if check.passed else "FAIL",
    ]


def accepted(check: Check) -> str:
    """The accepted interval: `0.45 to 0.47`, or `≤ 0.6` where it has one end."""
    if check.low == -math.inf:
        return f"≤ {_number(check.high)}"
    if check.high == math.inf:
        return f"≥ {_number(check.low)}"
    return f"{_number(check.low)} to {_number(check.high)}"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _identity(claim: Claim) -> dict[str, str]:
    return {"name": claim.name, "claim": claim.text, "source": claim.source}


def _entry(reproduction: Reproduction) -> dict[str, Any]:
    checks = [asdict(check) | {"passed": check.passed} for check in reproduction.checks]
    return _identity(reproduction.claim) | {
        "reproduced": reproduction.reproduced,
        "seconds": round(reproduction.seconds, 1),
        "problem": reproduction.problem or None,
        "checks": checks,
    }


def _as_json(objects: list[dict[str, Any]]) -> str:
    from gradlab.store.json_safe import json_safe

    return json.dumps(json_safe(objects), indent=2, ensure_ascii=False)
