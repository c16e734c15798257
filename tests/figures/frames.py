"""Frames for figures, by way of a stored run: what `gradlab plot` would draw."""

from types import SimpleNamespace

import numpy as np

from gradlab.analysis.score import score_of
from tests import runs

STEPS = [0, 50, 100]
SCORE = score_of(runs.DATA)


def frames(folder, backward=None, steps=None, seeds=1, loss=None, **more):
    """The layers and steps of a run of the same profiles for each seed."""
    backward = runs.walk(20, 3) if backward is None else np.asarray(backward, dtype=float)
    steps = STEPS[: len(backward)] if steps is None else steps
    loss = np.geomspace(2.35, 0.09, len(steps)).tolist() if loss is None else loss
    shift = np.arange(seeds) * 0.1
    layers = [
        runs.layer_table(backward + shift[i], steps, seed=i, log10_gradient=backward - 1)
        for i in range(seeds)
    ]
    scores = {"train_accuracy": [0.5] * len(steps), "test_accuracy": [0.4] * len(steps), "test_loss": loss}
    norms = {"log10_gradient": backward[:, 1].tolist(), "log10_clipped": backward[:, 1].tolist()}
    tables = [runs.step_table(loss, steps, seed=i, **(scores | norms | more)) for i in range(seeds)]
    run = runs.opened(folder, layers, tables)
    return run.layers, run.steps


def prediction(depth, gain=0.9):
    """A theory of one gain, fixed to 0 at the last hidden layer."""
    layer = np.arange(depth + 2)
    return SimpleNamespace(
        has_band=True,
        layer=layer,
        log10_forward=-0.01 * layer,
        log10_backward=(depth - layer) * np.log10(gain),
        sd=0.02 * np.sqrt(np.abs(depth - layer)),
        gain=gain,
    )


def data(axes):
    """The lines that hold data: no dots, no marks at the edge."""
    return [line for line in axes.get_lines() if not line.get_label().startswith(("_dots", *MARKS))]


MARKS = ("_zero", "_inf", "_nan", "_above")


def marked(figure):
    """The kinds of edge marks that each panel has."""
    return [
        {line.get_label()[1:] for line in axes.get_lines() if line.get_label() in MARKS}
        for axes in figure.axes
    ]


def legend(figure):
    """The words of the figure's legend."""
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def render(figure, folder, suffix="svg"):
    """Draw it for real: warnings are errors."""
    path = folder / f"figure.{suffix}"
    figure.savefig(path)
    return path.read_text() if suffix == "svg" else path
