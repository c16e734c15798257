"""The figures of a run or a study, drawn and saved whole: a picture's file is never half a picture."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.summary import describe
from gradlab.errors import RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradlab.store.read import Run

FORMATS = ("png", "svg")


def profile(run: "Run") -> "Figure":
    """Forward, backward and gradient over the layers, with the theory's line where there is one."""
    from gradlab.analysis.verdicts import predicted
    from gradlab.figures.profile import profile as draw

    return draw(run.layers, predicted(run), describe(run.recipe))


def heatmap(run: "Run") -> "Figure":
    """The backward signal over steps and layers."""
    from gradlab.figures.heatmap import heatmap as draw

    return draw(run.layers, run.steps, describe(run.recipe))


def training(run: "Run") -> "Figure":
    """Loss, accuracy, the gradient before and after the clip, the learning rate."""
    from gradlab.figures.training import training as draw

    data, clip = run.status["data"], run.recipe["clip"]
    # of the clips only this one bounds the norm that is drawn: a value clip bounds entries, another p another norm
    bounds = clip["name"] == "norm" and clip.get("p", 2.0) == 2 and clip.get("where") != "update"
    threshold = clip["threshold"] if bounds else None
    return draw(run.steps, data["chance_loss"], data["chance_accuracy"], threshold, describe(run.recipe))


KINDS: dict[str, Callable[["Run"], "Figure"]] = {"profile": profile, "heatmap": heatmap, "training": training}


def draw(
    run: "Run", kinds: Iterable[str] = KINDS, suffix: str = "png", folder: Path | None = None
) -> list[Path]:
    """Draw these kinds of figures of a run into its `figures/`, or into `folder` under the run's name."""
    if folder is None:
        return [save(KINDS[kind](run), run.folder / "figures" / f"{kind}.{suffix}") for kind in kinds]
    return [save(KINDS[kind](run), folder / f"{run.folder.name}-{kind}.{suffix}") for kind in kinds]


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
