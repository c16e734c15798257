"""The figures of a run, drawn and saved in one piece: a picture's file is never incomplete."""

import io
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gradlab.figures.registry import run_figures
from gradlab.recipe import signals
from gradlab.recipe.errors import RecipeError, hint, unwritable
from gradlab.report.summary import title
from gradlab.store import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradlab.store.read import Run

FORMATS = ("png", "svg", "pdf")
WIDTHS = ("single", "double")  # of a figure on a page
DPI = 150  # of a PNG
METADATA: dict[str, dict[str, Any]] = {  # without dates: the same figure is the same bytes
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}
# letters stay letters: in an SVG as text, in a PDF as a TrueType font
LETTERS: Any = {"svg.hashsalt": "gradlab", "svg.fonttype": "none", "pdf.fonttype": 42}
STALE = 600.0  # seconds after which a temporary file, written at once, is of a process that was killed


class Look(NamedTuple):
    """How a figure is saved: its file format, the width of a page's column ("" as on a screen), and its resolution."""

    suffix: str = "png"
    width: str = ""
    dpi: int = DPI


SCREEN = Look()


def draw(
    run: "Run", names: Iterable[str] = (), look: Look = SCREEN, folder: Path | None = None
) -> list[Path]:
    """Draw these figures of a run, or its default ones; returns their files (see `figure_path`).

    Raises:
        RecipeError: the run has no figure of a name that was given, or none at all, or a file cannot be written.
        StorageError: the file system does not take a file.
        Stop: a signal came; it is looked for before each figure.
    """
    names = list(names) or default_names(run)
    if not names:
        raise RecipeError(
            f"{run.folder} has no figure: of fewer than two steps and two layers there is nothing to see"
        )
    with signals.collected():
        return [
            save(figure, figure_path(run, name, look.suffix, folder), folder or run.folder, look)
            for name, figure in named_figures(run, names)
        ]


def draw_column(run: "Run", name: str, look: Look = SCREEN, folder: Path | None = None) -> Path:
    """Draw one measured column of a run; returns its file (see `figure_path`).

    Raises:
        RecipeError: the run has no such column, or the file cannot be written.
        StorageError: the file system does not take the file.
    """
    from gradlab.figures.column import column

    figure = column(run, name, title(run))
    return save(figure, figure_path(run, f"column-{name}", look.suffix, folder), folder or run.folder, look)


def named_figures(run: "Run", names: Iterable[str] = ()) -> Iterator[tuple[str, "Figure"]]:
    """The figures of these names, or the default ones, each with its name; one is drawn when it is asked for.

    Raises:
        RecipeError: there is no such figure, or the run has none of it.
    """
    figures = run_figures()
    for name in list(names) or default_names(run):
        if name not in figures:
            raise RecipeError(f"there is no figure '{name}'{hint(name, figures)}")
        signals.check()
        yield name, figures[name].draw(run, title(run))


def default_names(run: "Run") -> list[str]:
    """The figures that a run gets unasked: those drawn by default whose tables have rows."""
    return [name for name, figure in run_figures().items() if figure.by_default and figure.is_available(run)]


def figure_path(run: "Run", name: str, suffix: str, folder: Path | None = None) -> Path:
    """The file of a figure: `figures/NAME.SUFFIX` in the run's folder, or `RUN-NAME.SUFFIX` in `folder`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", name)  # a column may have any name
    if folder is None:
        return run.folder / "figures" / f"{name}.{suffix}"
    return folder / f"{run.folder.name}-{name}.{suffix}"


def save(figure: "Figure", path: Path, base: Path | None = None, look: Look = SCREEN) -> Path:
    """Write a figure in the format of the path's suffix; the same figure is the same bytes. Returns the path.

    No link is followed below `base`, which is the file's own folder if it is not given.

    Raises:
        RecipeError: the file cannot be written.
        StorageError: the file system does not take the file.
    """
    from matplotlib import rc_context

    if look.width:
        from gradlab.figures.paper import fit

        fit(figure, look.width)
    suffix, content = path.suffix[1:], io.BytesIO()
    with rc_context(LETTERS):
        figure.savefig(content, format=suffix, dpi=look.dpi, metadata=METADATA[suffix])
    base = base or path.parent
    name = path.relative_to(base).as_posix()
    try:
        with signals.collected():
            files.write(base, name, content.getvalue())
            _remove_stale(base, name)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def _remove_stale(base: Path, name: str) -> None:
    """Delete what processes that were killed while they wrote this file have left."""
    folder, _, last = name.rpartition("/")
    for temporary in files.listed(base, folder, f".{last}.*.tmp"):
        with suppress(OSError):
            if time.time() - (base / temporary).lstat().st_mtime > STALE:
                files.remove(base, [temporary])
