"""The figures of attention and of the kernels' spectra: what is drawn is what was measured."""

import numpy as np
import pandas as pd
import pytest

from gradlab.figures import attention, style, weight_spectrum
from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import open_run
from tests import runs


class Measured:
    """What the figures read of a run."""

    is_foreign = False

    def __init__(self, **tables):
        self.__dict__.update(tables)


def notes():
    rows = [
        (seed, step, "probe", layer, f"{measure}_head{head}", layer + head / 10 + step)
        for seed in (0, 1)
        for step in (0, 4, 8)
        for layer in (1, 2)
        for head in (1, 2, 10)
        for measure in attention.PANELS
    ]
    return pd.DataFrame(rows, columns=["seed", "step", "source", "layer", "measure", "value"])


def test_attention_has_a_dot_for_each_head_and_the_mean_as_a_line():
    figure = attention.run_figure(Measured(notes=notes()), "a title")
    panel = figure.axes[0]
    dots = [line for line in panel.get_lines() if line.get_label() == "_heads"]
    np.testing.assert_allclose(
        sorted(dots[0].get_ydata()), sorted(l + h / 10 for l in (1, 2) for h in (1, 2, 10))
    )
    lines = [line.get_ydata() for line in panel.get_lines() if line.get_linestyle() == "-"]
    np.testing.assert_allclose(lines[0], [1 + 13 / 30, 2 + 13 / 30])


def parameters():
    rows = [
        (0, step, "probe", layer, kernel, layer + step, 1.0, 2.0, 3.0)
        for step in (0, 8)
        for layer, kernel in (
            (0, "linear/kernel"),
            (1, "mix/kernel"),
            (2, "mix/kernel"),
            (3, "linear/kernel"),
        )
    ]
    names = ["kernel_sigma_max", "kernel_radius", "kernel_stable_rank", "kernel_effective_rank"]
    return pd.DataFrame(rows, columns=["seed", "step", "source", "layer", "parameter", *names])


def test_no_line_of_a_kernel_crosses_layers_that_have_none():
    layers = pd.DataFrame({"seed": 0, "step": 0, "source": "probe", "layer": range(4)})
    figure = weight_spectrum.run_figure(Measured(parameters=parameters(), layers=layers), "a title")
    drawn = [line for line in figure.axes[0].get_lines() if line.get_color() in (style.FIRST, style.LAST)]
    spans = [tuple(line.get_xdata()) for line in drawn if line.get_label() != "_dots"]
    assert sorted(spans) == [(0,), (0,), (1, 2), (1, 2), (3,), (3,)]
    assert figure.axes[0].get_title("left") == "Largest singular value"


@pytest.mark.parametrize("name", ["attention", "weight_spectrum"])
def test_a_run_without_the_measure_says_what_to_record(name, tmp_path):
    run = open_run(runs.simple(tmp_path / "run"))
    with pytest.raises(RecipeError, match=rf"run it with probe=\[standard,{name}\]"):
        run_figures()[name].draw(run, "")
