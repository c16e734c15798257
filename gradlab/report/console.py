"""What `gradlab run` prints and draws: each run while it trains and when it has ended, and a grid at its end."""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console

from gradlab.recipe import signals
from gradlab.recipe.errors import RecipeError, StorageError
from gradlab.recipe.printing import printable
from gradlab.recipe.recipe import Recipe, plain
from gradlab.report import pictures, summary
from gradlab.report.progress import ProgressCallback, progress_display
from gradlab.report.terminal import say
from gradlab.store.status import read_status

if TYPE_CHECKING:
    from gradlab.engine.prepare import PreparedRun
    from gradlab.store.read import Run


class RunOutcome(Protocol):
    """Where a run is stored and how it ended; `fresh` is False if it was finished before this command.

    notice: what the machine could not do for it.
    """

    @property
    def folder(self) -> Path: ...
    @property
    def state(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def complaint(self) -> str: ...
    @property
    def fresh(self) -> bool: ...
    @property
    def notice(self) -> str: ...


class RunConsole:
    """The output of one `gradlab run`; it collects the folders, the failures and the unwanted verdicts of its runs."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        keys: Sequence[str],
        fail_on: Sequence[str],
        unfit: Sequence[str] = (),
    ) -> None:
        """`keys` are the choices in which the recipes of a grid differ; a single run has none.

        `unfit` are lines on recipes that are left out.
        """
        self.total, self.keys, self.fail_on = len(recipes), list(keys), list(fail_on)
        quiet = any(recipe.quiet for recipe in recipes)
        self.console = None if quiet else Console(highlight=False)
        self.started = 0
        self.folders: list[Path] = []
        self.with_results: list[Path] = []  # the folders of the runs that did not fail
        self.failures: list[str] = []
        self.unwanted: list[str] = []
        self.left_out = list(unfit)
        self.refusals = 0  # of the failures: runs that could not start
        self.no_storage = False  # whether the file system did not take a figure
        self.noticed = False

    @contextmanager
    def training(
        self, run: "PreparedRun", label: str, used: Callable[[], Collection[str]]
    ) -> Iterator[ProgressCallback | None]:
        """Print what is trained, and show its progress; `used` builds the network and gives what takes part in it.

        Raises:
            RecipeError: the network of a single run cannot be built.
        """
        self.started += 1
        if label:
            self.say(f"{self.started}/{self.total}  {label}")
        elif self.console:
            stored = read_status(run.folder).get("used")
            self.say(summary.describe(plain(run.recipe), used() if stored is None else stored))
        with progress_display(run.recipe.steps, self.console) as show:
            yield show

    def ended(self, outcome: RunOutcome, label: str) -> None:
        """Report a failure, or the results in sentences; a single run gets its table and figures too."""
        self.folders.append(outcome.folder)
        if outcome.notice and not self.noticed:
            self.say(f"note        {outcome.notice}")
            self.noticed = True
        if outcome.state == "failed":
            self._fail(f"{label or outcome.folder.name} failed: {outcome.complaint}")
        else:
            self.with_results.append(outcome.folder)
            self._results(outcome, label)

    def refused(self, error: RecipeError, label: str, left_out: bool = False) -> None:
        """Report a run that cannot start here, as on a device that this machine has not; a grid goes on."""
        self.refusals += 1
        if left_out:
            self.left_out.append(f"{label}: {error}")
        else:
            self._fail(f"{label} failed: {error}")

    def interrupted(self, message: str, folder: Path | None = None) -> None:
        """Report what is stored, at last the run in this folder or the one that ended last, and how to continue."""
        remaining = self.total - len(self.folders) - self.refusals - (folder is not None)
        folder = folder or next(reversed(self.folders), None)
        parts = [
            f"interrupted: {message}",
            f"{remaining} of {self.total} runs not started" if remaining else "",
            f"stored in {folder}" if folder else "",
            "run the same command again to continue",
        ]
        self.warn("; ".join(filter(None, parts)))

    def close(self) -> None:
        """Print the table of a grid and draw its picture, then repeat every failure and unwanted verdict."""
        if len(self.with_results) > 1:
            self._compare()
        if self.failures and self.total > 1:
            heading = f"{len(self.failures)} of {self.total} runs failed"
            self.warn("\n  ".join([heading, *self.failures]))
        for sentence in self.unwanted:
            self.warn(sentence)
        for line in self.left_out:
            self.say(f"left out    {line}")

    def say(self, text: str) -> None:
        """Print to standard output, unless the run is quiet."""
        if self.console:
            self.console.print(printable(text), markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print to standard error, also if the run is quiet."""
        say(f"gradlab run: {text}", sys.stderr)

    def _fail(self, sentence: str) -> None:
        self.failures.append(sentence)
        self.warn(sentence)

    def _results(self, outcome: RunOutcome, label: str) -> None:
        signals.check()  # one that came during the last steps
        from gradlab.store.read import open_run

        if not outcome.fresh:
            self.say("this run is already finished; it is not run again without --force")
        if outcome.message and not (outcome.fresh and outcome.state == "diverged"):  # the verdict says that
            self.say(f"note        {outcome.message}")
        run = open_run(outcome.folder)
        single = not self.keys
        if single:
            self.say(summary.start_and_end(run))
            self.say(f"data        {run.status['data']['source']}")
        self._verdicts(run, label)
        self.say(f"stored      {run.folder}  ({summary.cost(run.status)})")
        if single:
            self._draw(lambda: pictures.draw(run))

    def _verdicts(self, run: "Run", label: str) -> None:
        from gradlab.analysis.sentences import of_diagnosis
        from gradlab.analysis.verdicts import diagnose, failed, missing_theory

        try:
            diagnosis = diagnose(run)
        except RecipeError as error:  # probes were left out: the run is right, there is only less to say
            self.say(f"verdict     {error}")
            return
        for name, sentence in of_diagnosis(diagnosis):
            self.say(f"{name:<11} {sentence}")
        reason = missing_theory(run)
        if reason and run.recipe["model"]["name"] == "mlp":  # of other models nobody expects a prediction
            self.say(f"theory      {reason}")
        unwanted = failed(diagnosis, self.fail_on)
        if unwanted:
            self.unwanted.append(f"--fail-on: {label or run.folder.name} is {', '.join(unwanted)}")

    def _compare(self) -> None:
        from gradlab.report import comparison
        from gradlab.store.read import open_run

        runs = [open_run(folder) for folder in self.with_results]
        by = comparison.distinguishing_keys(runs, self.keys)
        for source in dict.fromkeys(run.status["data"]["source"] for run in runs):
            self.say(f"data        {source}")
        try:
            self.say(f"\n{comparison.comparison_table(runs, by)}")
        except RecipeError as error:
            self.say(f"table       {error}")
        path = comparison.comparison_path(runs, by)
        self._draw(lambda: [pictures.save(comparison.comparison_figure(runs, by), path)])

    def _draw(self, draw: Callable[[], list[Path]]) -> None:
        try:
            paths = draw()
        except StorageError as error:
            self.no_storage = True
            self.warn(f"figures: {error}")
            return
        except RecipeError as error:
            self.say(f"figures     {error}")
            return
        self.say(f"figures     {paths[0].parent}/  {' '.join(path.name for path in paths)}")
