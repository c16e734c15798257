"""`gradlab compare PATH… --by clip`: several runs in one picture and one table."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlab.commands import pictures
from gradlab.commands.arguments import Arguments, path_arguments, words
from gradlab.commands.summary import aligned, describe
from gradlab.errors import RecipeError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gradlab.store.read import Run


def arguments() -> Arguments:
    """What `gradlab compare` takes."""
    parser = path_arguments("compare", "gradlab compare outputs/clipping_saves_training --by clip")
    parser.add_argument(
        "--by", type=words, default=[], metavar="KEYS", help="what to colour by, as clip or depth,clip"
    )
    parser.add_argument("--format", choices=pictures.FORMATS, default="png")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the picture's file; beside the runs if not given"
    )
    return parser


def main(argv: list[str]) -> int:
    """Draw and tabulate all runs at or below the paths, coloured by what differs."""
    asked = arguments().parse_args(argv)
    from gradlab.analysis.comparison import table
    from gradlab.store.read import choices, collect

    runs = collect(asked.paths)
    by = asked.by or list(choices(runs))
    if len(runs) < 2 or not by:
        raise RecipeError(f"{len(runs)} run there: nothing differs; name several runs, or a study's folder")
    path = asked.out or target(runs, by, asked.format)
    if path.suffix[1:] not in pictures.FORMATS:
        raise RecipeError(f"--out {path} must end in {' or '.join('.' + name for name in pictures.FORMATS)}")
    print(shorten(table(runs, by[0])))
    print(pictures.save(picture(runs, by), path))
    return 0


def picture(runs: list["Run"], by: list[str]) -> "Figure":
    """The profiles and losses of several runs, coloured by one choice, or by several written as one."""
    from gradlab.figures.comparison import comparison
    from gradlab.store.read import gather

    layers, steps = (_joined(gather(runs, table, by), by) for table in ("layers", "steps"))
    return comparison(layers, steps, ", ".join(by), describe(runs[0].recipe) if len(runs) == 1 else "")


def target(runs: list["Run"], by: list[str], suffix: str = "png") -> Path:
    """Beside the runs: `outputs/study/comparison-depth-clip.png`; above several studies."""
    places = {run.folder.resolve().parent for run in runs}
    folder = runs[0].folder.parent if len(places) == 1 else runs[0].folder.parent.parent
    return folder / (re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(["comparison", *by]))[:80] + f".{suffix}")


def _joined(frame: "pd.DataFrame", by: list[str]) -> "pd.DataFrame":
    """With several choices one column that holds them all: "depth, clip" is "10, norm"."""
    if len(by) == 1:
        return frame
    words = frame[by[0]].astype(str)
    for key in by[1:]:
        words = words + ", " + frame[key].astype(str)
    return frame.assign(**{", ".join(by): words})


def shorten(table: "pd.DataFrame") -> str:
    """The table as text, the run's long name last."""
    shown = [name for name in table.columns if name != "run" and not table[name].isna().all()]
    rows = [[_cell(value) for value in row] for row in table[shown].itertuples(index=False)]
    return aligned([[name.replace("_", " ") for name in shown], *rows])


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN: not measured or not there
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
