"""`gradlab fsck PATH…`: find damage in stored runs, explain it, and mend what needs no new measurement if asked."""

from pathlib import Path

from gradlab.commands.arguments import Arguments, path_arguments
from gradlab.recipe.printing import one_line
from gradlab.report.terminal import say


def arguments() -> Arguments:
    """The arguments of `gradlab fsck`."""
    parser = path_arguments("fsck", "example: gradlab fsck outputs/default --repair")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="merge parts, set damaged checkpoints aside, delete what killed processes left",
    )
    return parser


def main(argv: list[str]) -> int:
    """Print what is wrong with every run at or below the paths; exit code 1 if rows are missing or cannot be read.

    Raises:
        RecipeError: a path is no folder, or a run cannot be repaired.
    """
    options = arguments().parse_args(argv)
    from gradlab.store.read import folders

    run_folders = [folder for path in options.paths or ["outputs"] for folder in folders(path)]
    damaged = sum(_report(folder, options.repair) for folder in run_folders)
    say(f"{len(run_folders)} run{'s' * (len(run_folders) != 1)} examined, {damaged} damaged")
    return 1 if damaged else 0


def _report(folder: Path, repairing: bool) -> bool:
    """Print a run's findings, those that are repaired with what was done; whether it is damaged."""
    from gradlab.store.examine import examine, repair

    findings = examine(folder)
    done = repairing and any(finding.repair for finding in findings)
    if done:
        repair(folder)
    for finding in findings:
        about = finding.problem if str(folder) in finding.problem else f"{folder} {finding.problem}"
        remedy = f"; {'it was' if done else '--repair: it is'} {finding.repair}" if finding.repair else ""
        say(one_line(f"{about}{remedy}"))
    return any(finding.damage for finding in (examine(folder) if done else findings))
