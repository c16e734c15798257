"""What `gradlab run` prints and draws of one run: while it trains, and when it has ended."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gradlab.recipe import signals
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, plain
from gradlab.report import pictures, summary
from gradlab.report.output import Output
from gradlab.report.progress import ProgressCallback, progress_display
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
    @property
    def exit_code(self) -> int: ...


class RunConsole(Output):
    """The output of one run; it notes its folder, its failure and its unwanted verdicts."""

    def __init__(self, recipe: Recipe, fail_on: Sequence[str] = ()) -> None:
        super().__init__(recipe.quiet)
        self.fail_on = list(fail_on)
        self.folder: Path | None = None
        self.failures: list[str] = []
        self.unwanted: list[str] = []

    def run_folders(self) -> list[Path]:
        """The folder of the run, if it has ended."""
        return [self.folder] if self.folder else []

    @contextmanager
    def training(
        self, run: "PreparedRun", used: Callable[[], Collection[str]]
    ) -> Iterator[ProgressCallback | None]:
        """Print what is trained, and show its progress; `used` builds the network and gives what takes part in it.

        Raises:
            RecipeError: the network cannot be built.
        """
        if self.console:
            stored = read_status(run.folder).get("used")
            self.tell("", summary.describe(plain(run.recipe), used() if stored is None else stored))
        with progress_display(run.recipe.steps, self.console) as show:
            yield show

    def ended(self, outcome: RunOutcome) -> None:
        """Report a failure, or the results in a table, sentences and figures."""
        self.folder = outcome.folder
        if outcome.notice:
            self.tell("note", outcome.notice)
        if outcome.state == "failed":
            self.failures.append(f"{outcome.folder.name} failed: {outcome.complaint}")
            self.warn(self.failures[0])
        else:
            self._results(outcome)

    def interrupted(self, message: str, folder: Path | None = None) -> None:
        """Report what is stored, and how to continue."""
        parts = [
            f"interrupted: {message}",
            f"stored in {folder}" if folder else "",
            "run the same command again to continue",
        ]
        self.warn("; ".join(filter(None, parts)))

    def close(self) -> None:
        """Report every unwanted verdict."""
        for sentence in self.unwanted:
            self.warn(sentence)

    def _results(self, outcome: RunOutcome) -> None:
        signals.check()  # one that came during the last steps
        from gradlab.store.read import open_run

        if not outcome.fresh:
            self.tell("", "this run is already finished; it is not run again without --force")
        if outcome.message and not (outcome.fresh and outcome.state == "diverged"):  # the verdict says that
            self.tell("note", outcome.message)
        run = open_run(outcome.folder)
        self.say(summary.start_and_end(run, self.width))
        self.tell("data", run.status["data"]["source"])
        self._verdicts(run)
        if prices := summary.prices(run.status):
            self.tell("probes", prices)
        self.tell("stored", f"{run.folder}  ({summary.cost(run.status)})")
        self.draw(lambda: pictures.draw(run))

    def _verdicts(self, run: "Run") -> None:
        from gradlab.analysis.sentences import of_diagnosis
        from gradlab.analysis.verdicts import diagnose, failed, missing_theory

        try:
            diagnosis = diagnose(run)
        except RecipeError as error:  # probes were left out: the run is right, there is only less to say
            self.tell("verdict", str(error))
            return
        for name, sentence in of_diagnosis(diagnosis):
            self.tell(name, sentence)
        reason = missing_theory(run)
        if reason and run.recipe["model"]["name"] == "mlp":  # of other models nobody expects a prediction
            self.tell("theory", reason)
        unwanted = failed(diagnosis, self.fail_on)
        if unwanted:
            self.unwanted.append(f"--fail-on: {run.folder.name} is {', '.join(unwanted)}")
