"""`gradlab ls [PATH…]`: list the runs of a folder with state, verdicts and score, also those that cannot be read."""

from pathlib import Path

from gradlab.commands.arguments import Arguments, path_arguments
from gradlab.recipe.errors import RecipeError
from gradlab.report.summary import aligned
from gradlab.report.terminal import say

HEADINGS = ["run", "state", "signal", "at the end", "training", "test score"]


def arguments() -> Arguments:
    """The arguments of `gradlab ls`."""
    return path_arguments("ls", "gradlab ls outputs/default")


def main(argv: list[str]) -> int:
    """Print one line for each run at or below the paths, or below `outputs` if none is given."""
    options = arguments().parse_args(argv)
    from gradlab.store.read import folders

    run_folders = [folder for path in options.paths or ["outputs"] for folder in folders(path)]
    if not run_folders:
        say("there are no runs yet; start one with: gradlab run model=mlp depth=50 clip=norm")
        return 0
    rows, errors = [HEADINGS], []
    for folder in run_folders:
        try:
            rows.append(_row(folder))
        except RecipeError as error:
            errors.append(str(error))
    say("\n".join(([aligned(rows)] if len(rows) > 1 else []) + errors))
    return 0


def _row(folder: Path) -> list[str]:
    from gradlab.analysis.verdicts import diagnose
    from gradlab.store.read import open_run

    run = open_run(folder, running=True)
    if run.status["state"] in ("running", "killed", "failed"):
        return [str(folder), run.status["state"], "", "", "", ""]
    diagnosis = diagnose(run)
    score = diagnosis.training.test_score
    parts = (diagnosis.signal_start, diagnosis.signal_end, diagnosis.training)
    verdicts = [part.verdict for part in parts]
    return [str(folder), run.status["state"], *verdicts, "" if score is None else f"{score:.2f}"]
