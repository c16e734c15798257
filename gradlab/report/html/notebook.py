"""A report and a figure as a notebook shows them."""

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlab.recipe.errors import unwritable
from gradlab.report.html.page import html
from gradlab.report.html.svg import Styles, style_sheet, svg
from gradlab.store import files
from gradlab.store.read import read_each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradlab.store.read import Paths, Problems, Run

HEIGHT, PICTURE_HEIGHT = 720, 460  # pixels in a notebook; a report scrolls


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The page of `gradlab report`, as a notebook shows it and as a file."""

    runs: "list[Run]"
    problems: "Problems"

    @cached_property
    def html(self) -> str:
        """The whole page."""
        return html(self.runs, self.problems)

    def path(self, name: str) -> Path:
        """Where a file of this report stands: in the folder of a single run, in that of a study, or above studies."""
        if len(self.runs) == 1 and not self.problems.unfinished and not self.problems.unreadable:
            return self.runs[0].folder / name
        studies = {run.folder.resolve().parent for run in self.runs}
        folder = self.runs[0].folder.parent
        return (folder if len(studies) == 1 else folder.parent) / name

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path.

        Raises:
            RecipeError: the file cannot be written.
            StorageError: the file system does not take the file.
        """
        path = Path(path)
        try:
            files.write(path.parent, path.name, self.html.encode())
        except OSError as error:
            raise unwritable(path, error) from None
        return path

    def __repr__(self) -> str:
        count = len(self.runs)
        return f"report of {count} run{'s' * (count > 1)}; .save('report.html') writes it, .html is the page"

    def _repr_html_(self) -> str:
        """The page in a frame of its own: its styles and scripts do not meet those of the notebook."""
        return in_frame(self.html, "gradlab report", HEIGHT)


def in_frame(page: str, title: str, height: int) -> str:
    """A page as an element of another, which can do nothing there."""
    return (
        f'<iframe sandbox="allow-scripts" title="{escape(title)}" width="100%" height="{height}" '
        f'style="border:1px solid #888" srcdoc="{escape(page)}"></iframe>'
    )


def report(paths: "Paths") -> Report:
    """The report of the runs at and below the paths.

    Raises:
        RecipeError: there is no run, or none can be read.
    """
    return Report(*read_each(paths, lambda run: run))


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure that a notebook shows; `figure` is matplotlib's."""

    name: str
    figure: "Figure"

    def _repr_html_(self) -> str:
        styles: Styles = {}
        drawn = svg(self.figure, self.name, self.name, styles)
        rules = style_sheet(styles) + "svg text{white-space:pre}"
        return in_frame(f"<!DOCTYPE html><style>{rules}</style>{drawn}", self.name, PICTURE_HEIGHT)

    def save(self, path: str | Path, **options: Any) -> None:
        """Write the figure, as `Figure.savefig` does."""
        self.figure.savefig(path, **options)
