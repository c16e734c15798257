"""`gradlab run`: compose recipes, train them one after the other, draw them, say what is to be seen."""

from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.arguments import Arguments, words
from gradlab.commands.compose.grid import Grid, grid
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name, plain
from gradlab.report.console import Report
from gradlab.report.summary import aligned

if TYPE_CHECKING:
    from gradlab.store.read import Run


def arguments() -> Arguments:
    """What `gradlab run` takes; its help is in `gradlab/usage.py`, which needs no import."""
    parser = Arguments("run", add_help=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--cfg", choices=["job"])
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--fail-on", type=words, default=[], metavar="WORDS")
    parser.add_argument("--config-dir", metavar="DIR")
    return parser


def main(argv: list[str]) -> int:
    """Run what the words ask for; the exit code is 1 if a run failed or a verdict is one of --fail-on."""
    asked = arguments().parse_intermixed_args(argv)
    _known(asked.fail_on)
    flags = [f"{flag}=true" for flag in ("force", "quiet") if getattr(asked, flag)]
    folder = Path(asked.config_dir) if asked.config_dir else None
    study = _composed([*asked.words, *flags], asked.multirun, folder)
    if asked.cfg:
        print(_yaml(study), end="")
        return 0
    if asked.dry_run:
        print(_costs(_fit(study)))
        return 0
    return _run(_fit(study), Report(study, asked.fail_on))


def run(*overrides: str, config_dir: str | Path | None = None) -> "Run | list[Run]":
    """What `gradlab run OVERRIDES` does, silently; a list of runs where the overrides are a grid.

    >>> import gradlab
    >>> run = gradlab.run("depth=4", "steps=0")  # doctest: +SKIP
    >>> run.layers[["layer", "log10_backward"]]  # doctest: +SKIP
    """
    from gradlab.store.read import open_run

    study = _composed([*overrides, "quiet=true"], True, Path(config_dir) if config_dir else None)
    report = Report(study, fail_on=[])
    code = _run(_fit(study), report)
    if code >= 128:
        raise KeyboardInterrupt
    if report.failures:
        raise RuntimeError("; ".join(report.failures))
    runs = [open_run(folder) for folder in report.folders]
    return runs if study.keys else runs[0]


def _composed(words: list[str], multirun: bool, config_dir: Path | None) -> Grid:
    from gradlab.engine.checks import check

    return grid(words, check, multirun, config_dir)


def _fit(study: Grid) -> Grid:
    """Refuse batches that the data cannot fill, before the first cell runs."""
    from gradlab.engine.tasks import load_task

    kinds = {(str(recipe.data), recipe.batch_size): recipe for recipe in study.recipes}
    wrong = []
    for recipe in kinds.values():
        try:
            load_task(recipe)
        except RecipeError as error:
            wrong.append(str(error))
    if wrong:
        raise RecipeError("\n".join(wrong))
    return study


def _run(study: Grid, report: Report) -> int:
    """Train one after the other in this process, so that equal structures share one compiled program."""
    from gradlab.launch import launch

    for recipe, label in zip(study.recipes, study.labels, strict=True):
        try:
            with report.training(recipe, label) as tell:
                outcome = launch(recipe, tell)
        except RecipeError as error:
            if not report.folders:
                raise
            report.refused(error, label)
            continue
        if outcome.state == "interrupted":
            report.interrupted(outcome)
            return 143 if "SIGTERM" in outcome.message else 130
        report.ended(outcome, label)
    report.close()
    return 1 if report.failures or report.unwanted else 0


def _known(words: list[str]) -> None:
    """Refuse a misspelt verdict before anything is trained."""
    if words:
        from gradlab.analysis.verdicts import WORDS
        from gradlab.commands.compose.spelling import meant

        for word in words:
            if word not in WORDS:
                raise RecipeError(f"--fail-on: there is no verdict '{word}'{meant(word, WORDS)}")


def _yaml(study: Grid) -> str:
    import yaml

    return "---\n".join(yaml.safe_dump(plain(recipe), sort_keys=False) for recipe in study.recipes)


def _costs(study: Grid) -> str:
    """The grid and what it would cost: parameters, steps, rows and bytes on disk."""
    from gradlab.launch import estimate

    rows = [["run", "parameters", "steps", "rows", "MB"]]
    total = 0.0
    for recipe in study.recipes:
        cost = estimate(recipe)
        total += cost["bytes"] / 1e6
        steps = f"{recipe.steps} × {recipe.seeds}"
        rows.append(
            [
                folder_name(recipe),
                f"{cost['parameters']:,}",
                steps,
                f"{cost['rows']:,}",
                f"{cost['bytes'] / 1e6:.1f}",
            ]
        )
    return f"{aligned(rows)}\n{len(study.recipes)} runs, {total:.1f} MB; nothing was run"
