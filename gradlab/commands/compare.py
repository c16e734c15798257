"""`gradlab compare PATH… --by clip`: several runs in one picture and one table."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlab.commands.arguments import Arguments, path_arguments, words
from gradlab.recipe.errors import RecipeError
from gradlab.report import pictures
from gradlab.report.summary import aligned, synthetic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gradlab.store.read import Run

TOLD = ("run", "seed")  # columns that every frame has
HEADS = {  # the columns of the table that a line has room for
    "seeds": "seeds",
    "diverged": "diverged",
    "training": "training",
    "train_loss": "loss",
    "test_score": "test score",
    "signal_start": "signal",
    "gain_start": "gain",
    "decades_start": "decades",
    "signal_end": "at the end",
    "decades_end": "decades",
    "time_start": "over time",
    "time_gain_start": "gain a step",
    "time_end": "at the end",
    "clip_share": "clipped",
}


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
    from gradlab.store.read import collect

    runs = collect(asked.paths)
    if len(runs) < 2:
        raise RecipeError(f"{runs[0].folder} is one run; name several, or a study's folder")
    by = columns(runs, asked.by)
    path = asked.out or target(runs, by, asked.format)
    if path.suffix[1:] not in pictures.FORMATS:
        raise RecipeError(f"--out {path} must end in {' or '.join('.' + name for name in pictures.FORMATS)}")
    print(text(runs, by))
    print(pictures.save(picture(runs, by), path))
    return 0


def columns(runs: list["Run"], by: list[str]) -> list[str]:
    """The columns that hold the choices `by`, or all that differ; `run` where nothing does."""
    from gradlab.store.read import choices

    if not by:
        return told(runs, list(choices(runs)))
    found = choices(runs, [word for word in by if word not in TOLD])
    return [
        next((name for name in (word, f"{word}.name", word.removesuffix(".name")) if name in found), word)
        for word in by
    ]


def told(runs: list["Run"], keys: list[str]) -> list[str]:
    """Of the keys of a grid those that tell its runs apart, but for what another of them implies; `run` if none."""
    from gradlab.store.read import choices

    found = choices(runs)
    named = [next((name for name in (key, f"{key}.name") if name in found), key) for key in keys]
    return [key for key in named if key == "seed" or (key in found and not _implied(key, found))] or ["run"]


def _implied(key: str, found: dict[str, list[Any]]) -> bool:
    """Whether the group's choice says it already: `clip=norm` has a threshold, `clip=none` has none."""
    group = key.partition(".")[0]
    group = group if group in found else f"{group}.name"
    if key == group or group not in found:
        return False
    return len(set(zip(map(str, found[group]), map(str, found[key]), strict=True))) == len(
        set(map(str, found[group]))
    )


def picture(runs: list["Run"], by: list[str]) -> "Figure":
    """The profiles and losses of several runs, coloured by one choice, or by several written as one."""
    from gradlab.analysis.score import score
    from gradlab.figures.comparison import comparison
    from gradlab.store.read import gather

    chosen = [key for key in by if key not in TOLD]
    layers, steps = (_joined(gather(runs, table, chosen), by) for table in ("layers", "steps"))
    scores = [score(run.status["data"]) for run in runs]
    common = scores[0] if len({one.name for one in scores}) == 1 else None
    return comparison(
        layers, steps, ", ".join(by), "synthetic data" if any(map(synthetic, runs)) else "", common
    )


def target(runs: list["Run"], by: list[str], suffix: str = "png") -> Path:
    """Beside the runs: `outputs/study/comparison-depth-clip.png`; above several studies."""
    places = {run.folder.resolve().parent for run in runs}
    folder = runs[0].folder.parent if len(places) == 1 else runs[0].folder.parent.parent
    return folder / (re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(["comparison", *by]))[:80] + f".{suffix}")


def _joined(frame: "pd.DataFrame", by: list[str]) -> "pd.DataFrame":
    """With several choices one column that holds them all: "depth, clip" is "10, norm", or "10" without a clip."""
    if len(by) == 1:
        return frame
    rows = list(zip(*(frame[key].tolist() for key in by), strict=True))
    names = {row: ", ".join(_words(by, row)) for row in dict.fromkeys(rows)}
    return frame.assign(**{", ".join(by): [names[row] for row in rows]})


def _words(by: list[str], row: tuple[Any, ...]) -> list[str]:
    """The first choice, and of the others what is there, a number with its name: `norm`, `dropout 0.1`."""
    told = [_cell(row[0]) or "none"]
    for key, value in zip(by[1:], row[1:], strict=True):
        if _cell(value) in ("", "none") or (value == 0 and key != "seed"):
            continue
        told.append(_cell(value) if isinstance(value, str) else f"{key.rpartition('.')[2]} {_cell(value)}")
    return told


def text(runs: list["Run"], by: list[str]) -> str:
    """One line a run: what differs and what came of it; its long name where nothing else tells it."""
    from gradlab.analysis.comparison import table

    found = table(runs, next((key for key in by if key not in TOLD), ""))
    named = [key for key in by if key in found]
    if not named or found[named].astype(str).duplicated().any():
        named.append("run")
    shown = [key for key in HEADS if key in found and _tells(key, found[key])]
    heads = [*named, *(HEADS[key] for key in shown)]
    rows = [[_cell(value) for value in row] for row in found[[*named, *shown]].itertuples(index=False)]
    return aligned([heads, *rows])


def _tells(key: str, column: "pd.Series") -> bool:
    """Whether a column is worth its place: one seed a run and no divergence go without saying."""
    usual = {"seeds": 1, "diverged": 0}
    return not column.isna().all() and not (key in usual and (column == usual[key]).all())


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN: not measured or not there
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
