"""A stored run in Python and in a notebook: its tables, its verdicts, its figures, and all of it in one screen."""

import base64
import html
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.analysis.results import Diagnosis
from gradlab.analysis.sentences import of_diagnosis
from gradlab.analysis.verdicts import diagnose
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import printable
from gradlab.report.html.notebook import Picture, Report
from gradlab.report.pictures import default_names, named_figures
from gradlab.report.summary import cost, describe, start_and_end
from gradlab.store.read import Problems, Run, open_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ATTRIBUTES = (".layers", ".steps", ".parameters", ".times", ".notes", ".verdict", ".figures()", ".report()")


@dataclass(frozen=True, eq=False, repr=False)
class RunResult(Run):
    """A stored run with its tables (`layers`, `steps`, `parameters`, `times`, `notes`), its verdicts and figures."""

    @cached_property
    def verdict(self) -> Diagnosis:
        """The verdicts at the start and the end and on the training, with the numbers that they rest on.

        Raises:
            RecipeError: the backward signal was not measured.
        """
        return diagnose(self)

    def figures(self, *names: str) -> "dict[str, Figure]":
        """The figures of these names, or those that `gradlab run` draws, by name.

        Raises:
            RecipeError: there is no such figure, or the run has no rows for it.
        """
        return dict(named_figures(self, names))

    def figure(self, name: str) -> Picture:
        """One figure, which a notebook shows; its `figure` is matplotlib's.

        Raises:
            RecipeError: there is no such figure, or the run has no rows for it.
        """
        return Picture(name, self.figures(name)[name])

    def report(self) -> Report:
        """The page that `gradlab report` writes, which a notebook shows: `run.report().save("report.html")`."""
        return Report([self], Problems([], []))

    def __repr__(self) -> str:
        lines = [
            describe(self.recipe, self.status.get("used")),
            start_and_end(self),
            *(f"{label:<11} {sentence}" for label, sentence in self._sentences()),
            f"stored      {self.folder}  ({cost(self.status)})",
            f"python      {' '.join(ATTRIBUTES)}",
        ]
        return printable("\n".join(lines))

    def _sentences(self) -> list[tuple[str, str]]:
        try:
            return of_diagnosis(self.verdict)
        except (
            RecipeError
        ) as error:  # the probe of the backward signal was left out: there is only less to say
            return [("verdict", str(error))]

    def _repr_html_(self) -> str:
        """The same in a notebook, with the first of its figures below, and the report behind a line to open it."""
        text = f"<pre>{html.escape(repr(self))}</pre>"
        names = default_names(self)
        if not names:
            return text
        page = f"<details><summary>the report</summary>{self.report()._repr_html_()}</details>"
        picture = io.BytesIO()
        self.figures(names[0])[names[0]].savefig(picture, format="png", dpi=80)
        data = base64.b64encode(picture.getvalue()).decode("ascii")
        return f'{text}<img alt="{names[0]}" src="data:image/png;base64,{data}">{page}'


def open_result(path: str | Path) -> RunResult:
    """The run that is stored at `path`, also one that is running or was killed, with the rows that it has.

    Raises:
        RecipeError: there is no run, or it is incomplete or corrupt.
    """
    run = open_run(path, running=True)
    return RunResult(run.folder, run.recipe, run.status)
