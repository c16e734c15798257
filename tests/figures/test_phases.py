"""Where one optimizer follows another, and where steps of two runs cost differently, the figures say so."""

import numpy as np
import pandas as pd

from gradlab.figures.comparison import comparison
from gradlab.figures.heatmap import heatmap
from gradlab.figures.training import training
from tests import runs
from tests.figures.frames import SCORE, frames, legend, render

SWITCH = "switch to the next optimizer"


def switches(axes):
    return [line.get_xdata()[0] for line in axes.get_lines() if line.get_label() == "_switch"]


def test_a_switch_is_marked_in_every_panel_of_training_and_in_the_heatmap(tmp_path):
    layers, steps = frames(tmp_path / "run", phase=[0, 1, 1])
    figure = training(steps, 2.3, SCORE)
    assert [switches(axes) for axes in figure.axes] == [[50]] * 4
    assert SWITCH in legend(figure)
    picture = heatmap(layers, steps)
    assert switches(picture.axes[0]) == [50]
    assert SWITCH in legend(picture)
    render(picture, tmp_path)


def test_seeds_may_switch_at_their_own_steps(tmp_path):
    tables = [runs.step_table([2.0, 1.0, 0.5], [0, 50, 100], seed=i, phase=[0, i, 1]) for i in range(2)]
    layers = [runs.layer_table(runs.walk(20, 3), [0, 50, 100], seed=i) for i in range(2)]
    figure = training(runs.opened(tmp_path / "run", layers, tables).steps, 2.3, SCORE)
    assert switches(figure.axes[0]) == [50, 100]


def test_without_phases_there_is_no_mark(tmp_path):
    _, steps = frames(tmp_path / "run", phase=[0, 0, 0])
    figure = training(steps, 2.3, SCORE)
    assert not any(switches(axes) for axes in figure.axes)
    assert SWITCH not in legend(figure)


def test_a_clip_of_the_update_is_drawn_beside_the_gradient(tmp_path):
    _, steps = frames(tmp_path / "run", log10_unclipped=[-1.0, -2.0, -2.5], clipped=[1.0, 0.0, 0.0])
    figure = training(steps, 2.3, SCORE)
    assert {"gradient", "update or gradient estimate before clipping", "after clipping"} <= set(
        legend(figure)
    )


def both(tmp_path, *costs):
    """Tables of runs whose steps take these numbers of loss evaluations, as `gradlab compare` reads them."""
    pairs = []
    for cost in costs:
        layers, steps = frames(tmp_path / f"run{cost}", evaluations=[0.0, 50.0 * cost, 100.0 * cost])
        pairs.append([frame.assign(run=f"run{cost}", optimizer=f"of {cost}") for frame in (layers, steps)])
    return (pd.concat(list(pair), ignore_index=True) for pair in zip(*pairs, strict=True))


def test_runs_whose_steps_cost_differently_are_drawn_over_loss_evaluations(tmp_path):
    figure = comparison(*both(tmp_path, 1, 32), "optimizer")
    loss = figure.axes[2]
    assert "loss evaluations" in loss.get_xlabel()
    assert loss.get_xscale() == "symlog"
    assert max(np.max(line.get_xdata()) for line in loss.get_lines()) == 3200
    render(figure, tmp_path)


def test_runs_of_one_cost_are_drawn_over_steps(tmp_path):
    figure = comparison(*both(tmp_path, 1), "optimizer")
    assert figure.axes[2].get_xlabel() == "training step"
