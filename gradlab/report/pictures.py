"""The figures of a run or a study, drawn and saved whole: a picture's file is never half a picture."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.recipe.errors import RecipeError
from gradlab.report.summary import title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradlab.store.read import Run

FORMATS = ("png", "svg")


def profile(run: "Run") -> "Figure":
    """Forward, backward and gradient over the layers, with the theory's line where there is one."""
    from gradlab.analysis.verdicts import predicted
    from gradlab.figures.profile import profile as draw

    return draw(run.layers, predicted(run), title(run))


def heatmap(run: "Run") -> "Figure":
    """The backward signal over steps and layers."""
    from gradlab.figures.heatmap import heatmap as draw

    return draw(run.layers, run.steps, title(run))


def training(run: "Run") -> "Figure":
    """Loss, score, the gradient before and after the clip, the learning rate."""
    from gradlab.analysis.clip_limits import norm_threshold
    from gradlab.analysis.score import score_of
    from gradlab.figures.training import training as draw

    data, clip = run.status["data"], run.recipe["clip"]
    # the gradient's norm is drawn, which a clip of the update does not bound
    threshold = None if clip.get("where") == "update" else norm_threshold(clip)
    return draw(run.steps, data["chance_loss"], score_of(data), threshold, title(run))


def times(run: "Run") -> "Figure":
    """The backward signal through time, of a recurrent network."""
    from gradlab.figures.times import times as draw

    if run.times.empty:
        raise RecipeError(f"{run.folder} has no time steps: its network is not recurrent")
    return draw(run.times, title(run))


KINDS: dict[str, Callable[["Run"], "Figure"]] = {
    "profile": profile,
    "heatmap": heatmap,
    "training": training,
    "times": times,
}


def kinds(run: "Run") -> list[str]:
    """The pictures that this run can have."""
    return [kind for kind in KINDS if kind != "times" or not run.times.empty]


def draw(
    run: "Run", wanted: Iterable[str] = (), suffix: str = "png", folder: Path | None = None
) -> list[Path]:
    """Draw these kinds of figures (or all) of a run into its `figures/`, or into `folder` under the run's name."""
    wanted = list(wanted) or kinds(run)
    if folder is None:
        return [save(KINDS[kind](run), run.folder / "figures" / f"{kind}.{suffix}") for kind in wanted]
    return [save(KINDS[kind](run), folder / f"{run.folder.name}-{kind}.{suffix}") for kind in wanted]


def save(figure: "Figure", path: Path) -> Path:
    """Write a figure under another name and rename it; the same figure is the same bytes."""
    from matplotlib import rc_context

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    plain = {"svg": {"Date": None}, "png": {"Software": None}}[path.suffix[1:]]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.hashsalt": "gradlab"}):
            figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=plain)
        temporary.replace(path)
    except OSError as error:
        raise RecipeError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if temporary.exists():
            temporary.unlink()
    return path
