"""Every figure of small networks that were really trained: no empty panel, no warning."""

import pytest

import gradlab
from gradlab.figures.registry import run_figures
from tests.figures.test_kinds import drawn, has_data

NETWORKS = {
    "mlp": ("model=mlp", "depth=2", "width=8", "optimizer=adam"),
    "resnet": ("model=resnet", "depth=8", "batch_size=8"),
    "transformer": ("model=transformer", "depth=2", "width=8", "data=topics", "batch_size=8"),
    "lstm": ("model=lstm", "depth=2", "width=8", "data=adding", "batch_size=16"),
    "point": ("model=point",),
    "one block": ("model=perceptron",),
    "l1": ("model=mlp", "depth=2", "width=8", "penalty=l1", "seeds=5"),
    "forward only": ("model=mlp", "depth=2", "width=8", "probe=[forward]"),
    "no step": ("model=mlp", "depth=2", "width=8", "steps=0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_figure_of_a_trained_network_says_something(network, tmp_path):
    run = gradlab.run("steps=3", *NETWORKS[network], f"outputs={tmp_path}")
    for name in run_figures():
        figure = drawn(run, name)
        for axes in figure.axes if figure else ():
            assert axes.get_label() == "<colorbar>" or has_data(axes), (name, axes.get_title("left"))
        if figure:
            figure.savefig(tmp_path / "figure.png", dpi=40)
