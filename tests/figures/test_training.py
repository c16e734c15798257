from dataclasses import replace

import numpy as np
import pytest

from gradlab.figures.training import training
from tests.figures.frames import SCORE, data, frames, legend, marked, render


def test_lines_are_the_frames_numbers(tmp_path):
    _, steps = frames(tmp_path / "run")
    loss, accuracy, gradient, rate = training(steps, 2.3, SCORE).axes
    assert [line.get_ydata().tolist() for line in data(loss)[:3]] == [
        steps[column].tolist() for column in ("loss", "train_loss", "test_loss")
    ]
    assert data(accuracy)[0].get_ydata().tolist() == steps.train_accuracy.tolist()
    assert data(gradient)[0].get_ydata().tolist() == steps.log10_gradient.tolist()
    assert data(rate)[0].get_ydata() == pytest.approx([0.1, 0.1])  # the last row has taken no step


def test_chance_level_threshold_and_fraction_clipped_are_shown(tmp_path):
    _, steps = frames(tmp_path / "run", clipped=[1.0, 0.0, 0.0])
    figure = training(steps, 2.3, SCORE, threshold=0.5)
    loss, accuracy, gradient, _ = figure.axes
    assert data(loss)[-1].get_ydata() == [2.3, 2.3]
    assert data(accuracy)[-1].get_ydata() == [0.1, 0.1]
    assert data(gradient)[-1].get_ydata()[0] == pytest.approx(np.log10(0.5))
    assert gradient.get_title(loc="left") == "Gradient norm: the clip acted on 50 % of the steps"
    assert {"chance level", "clip threshold", "after clipping"} <= set(legend(figure))


def test_evaluations_between_nulls_are_joined(tmp_path):
    _, steps = frames(tmp_path / "run", train_loss=[2.3, None, 1.0])
    line = data(training(steps, 2.3, SCORE).axes[0])[1]
    assert line.get_xdata().tolist() == [0, 100]


def test_a_wide_loss_is_logarithmic_and_its_zero_is_marked(tmp_path):
    _, steps = frames(tmp_path / "run", loss=[2.3, 0.0, 1e-6])
    figure = training(steps, 2.3, SCORE)
    assert figure.axes[0].get_yscale() == "log"
    assert marked(figure)[0] == {"zero"}


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "nan"), (np.inf, "inf")])
def test_a_divergence_is_marked(tmp_path, value, kind):
    _, steps = frames(tmp_path / "run", loss=[2.3, 5.0, value])
    assert marked(training(steps, 2.3, SCORE))[0] == {kind}


def test_diverged_seeds_are_counted_in_the_legend(tmp_path):
    _, steps = frames(tmp_path / "run", loss=[2.3, 5.0, np.nan], seeds=2)
    assert "2 of 2 seeds diverged" in legend(training(steps, 2.3, SCORE))


@pytest.mark.few(3)
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 2.3])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("seeds", [1, 5])
def test_any_loss_is_drawn_without_a_warning(tmp_path, value, count, seeds):
    _, steps = frames(tmp_path / "run", np.zeros((count, 5)), loss=[value] * count, seeds=seeds)
    render(training(steps, 2.3, SCORE, 1.0, "one $ and _two"), tmp_path, "png")


def test_a_loss_of_1e36_does_not_flatten_the_others_and_is_marked(tmp_path):
    _, steps = frames(tmp_path / "run", loss=[2.3, 5.0, 1e36])
    figure = training(steps, 2.3, SCORE)
    assert figure.axes[0].get_ylim()[1] < 100
    assert marked(figure)[0] == {"above"}
    assert "above the axis range" in legend(figure)


def test_the_accuracy_of_outputs_that_are_nan_is_not_drawn(tmp_path):
    _, steps = frames(tmp_path / "run", train_loss=[2.3, 2.0, np.nan])
    train, test = data(training(steps, 2.3, SCORE).axes[1])[:2]
    assert train.get_xdata().tolist() == [0, 50]
    assert test.get_xdata().tolist() == [0, 50, 100]


def test_panels_of_what_was_not_measured_are_left_out(tmp_path):
    _, steps = frames(tmp_path / "run", train_accuracy=[None] * 3, test_accuracy=[None] * 3)
    titles = [axes.get_title("left") for axes in training(steps, 2.3, SCORE).axes]
    assert titles == ["Loss", "Gradient norm", "Learning rate"]


def test_without_chance_levels_there_are_none(tmp_path):
    _, steps = frames(tmp_path / "run")
    assert "chance level" not in legend(training(steps, None, replace(SCORE, chance_level=None)))
