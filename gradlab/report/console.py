"""What `gradlab run` tells while it works and at its end, on the terminal and in figures."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gradlab.commands.compose.grid import Grid
from gradlab.commands.progress import shown
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, plain
from gradlab.report import pictures, summary

if TYPE_CHECKING:
    from gradlab.launch import Outcome
    from gradlab.store.read import Run


class Report:
    """One report for one command: it remembers what has ended, what failed, and what was not wanted."""

    def __init__(self, study: Grid, fail_on: list[str]) -> None:
        self.study, self.fail_on = study, fail_on
        quiet = any(recipe.quiet for recipe in study.recipes)
        self.console = None if quiet else Console(highlight=False)
        self.begun = 0
        self.folders: list[Path] = []
        self.measured: list[Path] = []  # of these, those that ended with a result
        self.failures: list[str] = []
        self.unwanted: list[str] = []

    @contextmanager
    def training(self, recipe: Recipe, label: str) -> Iterator[Callable[[Any], None] | None]:
        """Say what is trained, then show how it goes."""
        self.begun += 1
        place = f"{self.begun}/{len(self.study.recipes)}"
        self.say(f"{place}  {label}" if label else summary.describe(plain(recipe)))
        with shown(recipe.steps, self.console) as tell:
            yield tell

    def ended(self, outcome: "Outcome", label: str) -> None:
        """Tell a failure at once, a result in its sentences; a single run gets its table and figures too."""
        self.folders.append(outcome.folder)
        if outcome.state != "failed":
            self.measured.append(outcome.folder)
        else:
            log = outcome.folder / "run.log"
            self.failures.append(f"{label or outcome.folder.name} failed: {outcome.message}; see {log}")
            self.warn(self.failures[-1])
            return
        if not outcome.fresh:
            self.say("done before: not run again without --force")
        if outcome.message and not (outcome.fresh and outcome.state == "diverged"):  # the verdict tells that
            self.say(f"note        {outcome.message}")
        from gradlab.store.read import open_run

        run = open_run(outcome.folder)
        if not self.study.keys:
            self.say(summary.ends(run))
            self.say(f"data        {run.status['data']['source']}")
        self._verdicts(run, label)
        self.say(f"stored      {run.folder}  ({summary.cost(run.status)})")
        if not self.study.keys:
            self._draw(lambda: pictures.draw(run))

    def refused(self, error: RecipeError, label: str) -> None:
        """What only this machine can say is wrong, as a device that it has not; a grid goes on."""
        self.failures.append(f"{label} failed: {error}")
        self.warn(self.failures[-1])

    def interrupted(self, outcome: "Outcome") -> None:
        """What is there, and how to go on."""
        rest = len(self.study.recipes) - self.begun
        left = f"; {rest} of {len(self.study.recipes)} runs not begun" if rest else ""
        self.warn(f"interrupted: {outcome.message}{left}; stored {outcome.folder}; the same command goes on")

    def close(self) -> None:
        """After a grid: its table and picture, then every failure once more."""
        if len(self.measured) > 1:
            self._compare()
        if self.failures and len(self.study.recipes) > 1:
            self.warn(
                "\n  ".join(
                    [f"{len(self.failures)} of {len(self.study.recipes)} runs failed", *self.failures]
                )
            )
        for word in self.unwanted:
            self.warn(word)

    def say(self, text: str) -> None:
        """To a person who wants to read."""
        if self.console:
            self.console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """To a person in any case."""
        print(f"gradlab run: {text}", file=sys.stderr, flush=True)

    def _verdicts(self, run: "Run", label: str) -> None:
        from gradlab.analysis.verdicts import diagnose, failed, sentences

        try:
            found = diagnose(run)
        except RecipeError as error:  # probes were left out: the run is right, there is only less to say
            self.say(f"verdict     {error}")
            return
        for name, sentence in sentences(found):
            self.say(f"{name:<11} {sentence}")
        unwanted = failed(found, self.fail_on)
        if unwanted:
            self.unwanted.append(f"--fail-on: {label or run.folder.name} is {', '.join(unwanted)}")

    def _compare(self) -> None:
        from gradlab.commands.compare import picture, target, text, told
        from gradlab.store.read import open_run

        runs = [open_run(folder) for folder in self.measured]
        by = told(runs, self.study.keys)
        for source in dict.fromkeys(run.status["data"]["source"] for run in runs):
            self.say(f"data        {source}")
        try:
            self.say(f"\n{text(runs, by)}")
        except RecipeError as error:
            self.say(f"table       {error}")
        self._draw(lambda: [pictures.save(picture(runs, by), target(runs, by))])

    def _draw(self, draw: Callable[[], list[Path]]) -> None:
        try:
            paths = draw()
        except RecipeError as error:
            self.say(f"figures     {error}")
            return
        self.say(f"figures     {paths[0].parent}/  {' '.join(path.name for path in paths)}")
