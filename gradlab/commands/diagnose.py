"""`gradlab diagnose PATH…`: report whether the gradients vanish, explode or flow, as text or JSON."""

import json
import sys
from typing import TYPE_CHECKING

from gradlab.commands.arguments import Arguments, path_arguments, tell_problems, tell_unfinished, words
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.analysis.results import Diagnosis
    from gradlab.store.read import Run


def arguments() -> Arguments:
    """The arguments of `gradlab diagnose`."""
    parser = path_arguments(
        "diagnose", "example: gradlab diagnose outputs/default --fail-on vanishing,diverged"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a list with one object per run, with all numbers"
    )
    parser.add_argument(
        "--fail-on", type=words, default=[], metavar="WORDS", help="exit code 1 if a verdict is one of these"
    )
    return parser


def main(argv: list[str]) -> int:
    """Print the verdicts of every run at or below the paths; exit code 1 if one of them is in --fail-on.

    Raises:
        RecipeError: a run cannot be read; those of the others are printed before.
    """
    options = arguments().parse_args(argv)
    from gradlab.analysis.results import to_json
    from gradlab.analysis.sentences import of_diagnosis
    from gradlab.analysis.verdicts import diagnose, failed
    from gradlab.store.read import read_each

    def judge(run: "Run") -> "Diagnosis":
        tell_unfinished("diagnose", run)
        return diagnose(run)

    diagnoses, problems = read_each(options.paths, judge)
    if options.json:
        say(json.dumps([to_json(diagnosis) for diagnosis in diagnoses], indent=2, ensure_ascii=False))
    else:
        for diagnosis in diagnoses:
            report = [*of_diagnosis(diagnosis), ("theory", diagnosis.theory)]
            lines = [f"  {name:<11} {sentence}" for name, sentence in report]
            say("\n".join([f"{diagnosis.run} ({diagnosis.state})", *lines]))
    unwanted = {diagnosis.run: failed(diagnosis, options.fail_on) for diagnosis in diagnoses}
    for name, verdicts in unwanted.items():
        if verdicts:
            say(f"gradlab diagnose: --fail-on: {name} is {', '.join(verdicts)}", file=sys.stderr)
    tell_problems("diagnose", problems)
    return 1 if any(unwanted.values()) else 0
