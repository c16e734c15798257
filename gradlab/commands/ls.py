"""`gradlab ls [PATH…]`: the runs of a folder with state, verdicts and score, broken ones too."""

from pathlib import Path

from gradlab.commands.arguments import Arguments, path_arguments
from gradlab.recipe.errors import RecipeError
from gradlab.report.summary import aligned


def arguments() -> Arguments:
    """What `gradlab ls` takes."""
    return path_arguments("ls", "gradlab ls outputs/default")


def main(argv: list[str]) -> int:
    """Print one line for each run at or below the paths, `outputs` if none is given."""
    asked = arguments().parse_args(argv)
    from gradlab.store.read import folders

    found = [folder for path in asked.paths or ["outputs"] for folder in folders(path)]
    if not found:
        print("no runs here yet: gradlab run model=mlp depth=50 clip=norm")
        return 0
    head = ["run", "state", "signal", "at the end", "training", "test score"]
    rows, broken = [head], []
    for folder in found:
        try:
            rows.append(_row(folder))
        except RecipeError as error:
            broken.append(str(error))
    print("\n".join(([aligned(rows)] if len(rows) > 1 else []) + broken))
    return 0


def _row(folder: Path) -> list[str]:
    from gradlab.analysis.verdicts import diagnose
    from gradlab.store.read import open_run

    run = open_run(folder, running=True)
    if run.status["state"] in ("running", "failed"):
        return [str(folder), run.status["state"], "", "", "", ""]
    told = diagnose(run)
    score = told["training"]["test_score"]
    verdicts = [told[part]["verdict"] for part in ("signal_start", "signal_end", "training")]
    return [str(folder), run.status["state"], *verdicts, "" if score is None else f"{score:.2f}"]
