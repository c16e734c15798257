"""Figures of one question over depth: their lines are the table's numbers."""

import numpy as np
import pytest

from gradlab.analysis.selection import to_float64
from gradlab.figures import gates, gradient_update, moments, saturation, similarity, sparsity, style, zeros
from tests.figures.frames import data, legend
from tests.figures.kinds import KINDS, stored

FIGURES = (gradient_update, moments, saturation, similarity, zeros)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: stored(folder / name, KINDS[name]) for name in ("mlp", "many seeds", "lstm", "resnet")}


@pytest.mark.parametrize("module", FIGURES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_lines_are_the_tables_numbers(opened, module):
    run = opened["mlp"]
    figure = module.run_figure(run, "")
    titles = {axes.get_title("left").replace("\n", " "): axes for axes in figure.axes}
    for column, panel in module.PANELS.items():
        for line, step in zip(data(titles[panel.title])[:3], (0, 5, 10), strict=True):
            rows = run.layers[(run.layers.step == step).to_numpy()]
            divisor = 64 if module is zeros else 1
            np.testing.assert_allclose(line.get_ydata(), to_float64(rows[column]) / divisor)
            assert line.get_xdata().tolist() == rows.layer.tolist()


def test_five_seeds_are_a_median_in_a_band(opened):
    run = opened["many seeds"]
    panel = saturation.run_figure(run, "").axes[0]
    first = run.layers[(run.layers.step == 0).to_numpy()]
    medians = first.assign(saturated=to_float64(first.saturated)).groupby("layer").saturated.median()
    np.testing.assert_allclose(data(panel)[0].get_ydata(), medians)
    assert panel.collections


def test_infinite_and_nan_have_a_panel_only_where_there_are_any(tmp_path):
    run = stored(tmp_path / "run", KINDS["mlp"])
    run.__dict__["layers"] = run.layers.assign(infs=0, nans=0)
    assert [axes.get_title("left") for axes in zeros.run_figure(run, "").axes] == ["Exact zeros"]


def test_gates_are_lines_by_gate_and_layer(opened):
    run = opened["lstm"]
    figure = gates.run_figure(run, "")
    titles = ["Mean of a gate", "Saturated gates, |φ′| < 0.05·max|φ′|", "Spectral radius"]
    assert [axes.get_title("left").replace("\n", " ") for axes in figure.axes] == titles
    forget = run.notes[((run.notes.measure == "mean_forget") & (run.notes.layer == 2)).to_numpy(dtype=bool)]
    assert data(figure.axes[0])[1].get_ydata().tolist() == to_float64(forget.value).tolist()
    assert {"forget", "input", "layer 1", "layer 2"} <= set(legend(figure))


def test_zeros_of_an_l1_penalty_are_drawn_over_training(opened):
    run = opened["mlp"]
    panel = sparsity.run_figure(run, "").axes[0]
    assert data(panel)[0].get_ydata().tolist() == to_float64(run.steps.weight_zeros).tolist()


def test_a_layer_is_called_by_stage_and_block(opened):
    figure = gradient_update.run_figure(opened["resnet"], "")
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    stages = ["stage 1, block 1", "stage 1, block 2", "stage 2, block 1", "stage 2, block 2"]
    assert ticks == ["input", *stages, "output"]
    assert style.layer_text("upper 1", ()) == "layer 2"
    assert style.named_layers({0: "input", 1: "hidden 1", 2: "output"}) == {}
