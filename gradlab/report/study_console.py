"""What `gradlab run -m` prints: how a grid gets on, each failure at once, and what came of it at the end."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.live import Live

from gradlab.recipe import signals
from gradlab.recipe.errors import STORAGE_CODE, RecipeError, StorageError
from gradlab.recipe.recipe import Recipe, folder_name
from gradlab.report import pictures
from gradlab.report.console import RunOutcome
from gradlab.report.output import Output
from gradlab.report.progress import ProgressCallback, RunProgress
from gradlab.report.study_table import Running, StudyState, live_table

if TYPE_CHECKING:
    from gradlab.analysis.study import StudyTable

SAVE_SECONDS = 10.0  # between two writings of study.parquet
MOST_LINES = 40  # runs of which each has a line in the table at the end


class StudyConsole(Output):
    """The output of a grid; it collects the folders, the failures and the unwanted verdicts of its runs.

    It is told of the cells of a grid as `launch.observer.Observer` says.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        labels: Sequence[str],
        keys: Sequence[str],
        fail_on: Sequence[str] = (),
        unfit: Sequence[str] = (),
        skip_unfit: bool = False,
    ) -> None:
        """`keys` are the choices in which the recipes differ; `unfit` are lines on recipes that are left out.

        skip_unfit: whether a run that cannot start is left out, and no failure.
        """
        super().__init__(quiet=any(recipe.quiet for recipe in recipes))
        self.recipes, self.keys = list(recipes), list(keys)
        self.labels = [label or folder_name(recipe) for label, recipe in zip(labels, recipes, strict=True)]
        self.fail_on, self.skip_unfit = list(fail_on), skip_unfit
        self.state = StudyState(total=len(recipes), started=time.monotonic())
        self.folders: dict[int, Path] = {}
        self.with_results: list[int] = []  # the cells that did not fail
        self.failures: list[str] = []
        self.unwanted: list[str] = []
        self.left_out = list(unfit)
        self._notices: set[str] = set()
        self._tables: dict[Path, StudyTable] = {}  # by the folder of the study
        self._saved = time.monotonic()
        self._live: Live | None = None

    @property
    def failed(self) -> bool:
        """Whether any run has failed."""
        return bool(self.failures)

    @property
    def exit_code(self) -> int:
        """0, 1 for a failure or an unwanted verdict, 74 where the file system did not take a file."""
        if self.no_storage:
            return STORAGE_CODE
        return 1 if self.failures or self.unwanted else 0

    def run_folders(self) -> list[Path]:
        """The folders of the runs that have ended, in the order of the grid."""
        return [self.folders[cell] for cell in sorted(self.folders)]

    @contextmanager
    def training(self, cell: int) -> Iterator[ProgressCallback | None]:
        """A run is trained in this process; what is yielded shows its progress."""
        self.begun(cell)

        def show(progress: RunProgress) -> None:
            self.progressed(cell, progress.step)

        try:
            yield show
        finally:
            self.state.running.pop(cell, None)

    def begun(self, cell: int) -> None:
        """A run is on its way."""
        self.state.running[cell] = Running(self.labels[cell], self.recipes[cell].steps, time.monotonic())
        self._show()

    def progressed(self, cell: int, steps_done: int) -> None:
        """How far a run is."""
        if cell in self.state.running:
            self.state.running[cell].steps_done = steps_done

    def put_back(self, cell: int, cause: str) -> None:
        """A run whose process has ended before it; it is tried again."""
        self.state.running.pop(cell, None)
        self.warn(f"{self.labels[cell]}: {cause}; it is tried again")

    def stopping(self, batches: int) -> None:
        """Processes are asked to end, which takes until the end of a chunk of steps."""
        runs = "a run" if batches == 1 else f"{batches} runs"
        self.warn(f"waiting for {runs} to store what is measured; a second signal kills")

    def refused(self, cell: int, message: str, storage: bool) -> None:
        """A run cannot start, as on a device that this machine has not; the grid goes on."""
        self.state.running.pop(cell, None)
        self.no_storage |= storage
        if self.skip_unfit and not storage:
            self.state.counts["left out"] += 1
            self.left_out.append(f"{self.labels[cell]}: {message}")
        else:
            self.state.counts["not started"] += 1
            self._fail(f"{self.labels[cell]} failed: {message}")

    def ended(self, cell: int, outcome: RunOutcome) -> None:
        """Report a failure at once, a result in one line."""
        self.state.running.pop(cell, None)
        self.state.counts[outcome.state] += 1
        self.state.fresh += outcome.fresh
        self.folders[cell] = outcome.folder
        row = self._row(outcome.folder)
        if outcome.notice and outcome.notice not in self._notices:
            self._notices.add(outcome.notice)
            self.say(f"note        {outcome.notice}")
        if outcome.state in ("failed", "interrupted"):
            self._failed(cell, outcome)
            return
        self.with_results.append(cell)
        self.state.consider(self.labels[cell], row)
        if self.console and not self.console.is_terminal:
            self.say(self._line(cell, outcome, row))
        if outcome.message and outcome.fresh and outcome.state != "diverged":  # the verdict says that
            self.say(f"note        {self.labels[cell]}: {outcome.message}")
        if self.fail_on:
            self._check_verdicts(cell, outcome.folder)

    def look(self) -> None:
        """A moment has passed: keep study.parquet up to date."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self._save()

    def interrupted(self, message: str, folder: Path | None = None) -> None:
        """Report what is stored, at last the run in this folder or the one that ended last, and how to continue."""
        self.stop()
        remaining = self.state.total - self.state.done - len(self.state.running) - (folder is not None)
        folder = folder or next(reversed(self.folders.values()), None)
        parts = [
            f"interrupted: {message}",
            f"{remaining} of {self.state.total} runs not started" if remaining else "",
            f"stored in {folder}" if folder else "",
            "run the same command again to continue",
        ]
        self.warn("; ".join(filter(None, parts)))

    def stop(self) -> None:
        """End the live table, and write study.parquet."""
        if self._live:
            self._live.stop()
            self._live = None
        self._save()

    def close(self) -> None:
        """Print the table of the grid and draw its picture, then repeat every failure and unwanted verdict."""
        self.stop()
        self.say(f"runs        {self.state.summary()}")
        for path in self._tables:
            self.say(f"stored      {path}/  study.parquet")
        if len(self.with_results) > 1:
            self._compare()
        if self.failures and self.state.total > 1:
            heading = f"{len(self.failures)} of {self.state.total} runs failed"
            self.warn("\n  ".join([heading, *self.failures]))
        for sentence in self.unwanted:
            self.warn(sentence)
        for line in self.left_out:
            self.say(f"left out    {line}")

    def _show(self) -> None:
        """Begin the live table, on a terminal."""
        if self.console and self.console.is_terminal and self._live is None:
            self._live = Live(
                get_renderable=lambda: live_table(self.state, time.monotonic()),
                console=self.console,
                refresh_per_second=4,
                transient=True,
            )
            self._live.start()

    def _line(self, cell: int, outcome: RunOutcome, row: dict[str, Any]) -> str:
        """`12/24  depth=10 lr=0.1  finished: flowing, learned, 0.96, 2.1 s`."""
        count = f"{self.state.done:>{len(str(self.state.total))}}/{self.state.total}"
        score = row.get("test_score")
        words = [row.get("signal_start"), row.get("training")]
        words += [f"{score:.2f}"] if score is not None and math.isfinite(score) else []
        words += [f"{row['seconds']:.1f} s" if outcome.fresh else "stored before"]
        return f"{count}  {self.labels[cell]}  {outcome.state}: {', '.join(filter(None, words))}"

    def _row(self, folder: Path) -> dict[str, Any]:
        """The run's row of study.parquet."""
        from gradlab.analysis.study import StudyTable

        if folder.parent not in self._tables:
            self._tables[folder.parent] = StudyTable(folder.parent)
        return self._tables[folder.parent].row(folder)

    def _save(self) -> None:
        self._saved = time.monotonic()
        for table in self._tables.values():
            # the folders are the truth; a run that the disk does not take fails itself
            with suppress(StorageError):
                table.save()

    def _failed(self, cell: int, outcome: RunOutcome) -> None:
        before = "" if outcome.fresh else " before (--retry-failed runs it again)"
        self.no_storage |= outcome.exit_code == STORAGE_CODE
        self._fail(f"{self.labels[cell]} failed{before}: {outcome.complaint}")

    def _fail(self, sentence: str) -> None:
        self.failures.append(sentence)
        self.warn(sentence)

    def _check_verdicts(self, cell: int, folder: Path) -> None:
        from gradlab.analysis.verdicts import diagnose, failed
        from gradlab.store.read import open_run

        with suppress(RecipeError):  # probes were left out: there is no verdict
            if words := failed(diagnose(open_run(folder)), self.fail_on):
                self.unwanted.append(f"--fail-on: {self.labels[cell]} is {', '.join(words)}")

    def _compare(self) -> None:
        from gradlab.report import comparison
        from gradlab.store.read import open_run

        signals.check()
        runs = [open_run(self.folders[cell]) for cell in sorted(self.with_results)]
        by = comparison.distinguishing_keys(runs, self.keys)
        for source in dict.fromkeys(run.status["data"]["source"] for run in runs):
            self.say(f"data        {source}")
        compared = comparison.Comparison(runs, by)
        try:
            self.say(comparison.report_text(compared, MOST_LINES))
        except RecipeError as error:
            self.say(f"table       {error}")
        path = comparison.comparison_path(runs, by)
        self.draw(lambda: [pictures.save(comparison.comparison_picture(compared), path)])
