"""CONTRIBUTING.md keeps its word: one of each kind is added by its one or two files, and used from the command line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# what is appended to a file of a family
ADDED_TO = {
    "gradlab/parts/activations.py": '''

@activation
def bent(slope: Positive) -> Activation:
    """φ(z) = z + slope·tanh(z)."""
    return Activation(lambda z: z + slope * jnp.tanh(z), 1 + slope)
''',
}
FILES = {
    "conf/activation/bent.yaml": "name: bent\nslope: 0.5  # weight of the tanh\n",
    "gradlab/models/stack.py": '''"""A stack of dense layers."""

from gradlab.nn import blocks
from gradlab.nn.chain import Block
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.model import Model, Plan, model


@model
def stack() -> Model:
    """A layer of the network's width, and an output layer."""

    def build(plan: Plan) -> list[Block]:
        first = WeightLayerSpec("", plan.features, plan.width, has_norm=True)
        last = WeightLayerSpec("", plan.width, plan.outputs, has_norm=False, follows_activation=False)
        return [
            blocks.linear_block("hidden", first, plan, blocks.flatten),
            blocks.linear_block("output", last, plan._replace(dropout=None)),
        ]

    return build
''',
    "conf/model/stack.yaml": "# @package _global_\n# Two layers.\ndepth: 1\nwidth: 4\nmodel:\n  name: stack\n",
    "gradlab/data/line.py": '''"""Two classes of points on a line."""

import numpy as np

from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Size


@data
def line(examples: Size) -> Task:
    """The sign of x."""
    x = np.linspace(-1, 1, examples, dtype=np.float32)[:, None]
    y = (x[:, 0] > 0).astype(np.int32)
    return Task("synthetic: a line", x[::2], y[::2], x[1::2], y[1::2], outputs=2)
''',
    "conf/data/line.yaml": "# The sign of a number.\nname: line\nexamples: 64\n",
    "gradlab/measurements/probes/distance.py": '''"""How far have the parameters moved from their start?"""

import jax.numpy as jnp

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, probe


@probe
def distance() -> Probe:
    """‖θ − θ_0‖ over all parameters, ()."""

    def update(now, start):
        squares = sum(jnp.sum((w - start[path]) ** 2) for path, w in now.params.items())
        return {"distance": jnp.sqrt(squares)}, start

    return Probe((Column("distance", "‖θ − θ_0‖", kind="step"),), update=update, init=lambda params: params)
''',
    "conf/probe/distance.yaml": "# @package probes.distance\n# How far has it moved?\nname: distance\nevery: 1\n",
    "gradlab/measurements/snapshots/slope.py": '''"""How steep is the loss?"""

import jax
import jax.numpy as jnp

from gradlab.measurements.columns import Column
from gradlab.measurements.snapshot import Snapshot, snapshot


@snapshot
def slope() -> Snapshot:
    """‖∂L/∂θ‖ on the fixed batch, ()."""

    def compute(inputs):
        grads = jax.grad(inputs.loss)(inputs.params)
        return {"slope": jnp.sqrt(sum(jnp.sum(g**2) for g in grads.values()))}

    return Snapshot((Column("slope", "norm of the gradient on the fixed batch", kind="step"),), compute)
''',
    "conf/snapshot/slope.yaml": "# @package snapshots.slope\n# How steep is the loss?\nname: slope\nevery: 1\n",
    "gradlab/figures/walk.py": '''"""The distance from the start over training."""

from gradlab.analysis.selection import to_float64
from gradlab.figures import style

RUN_TABLES = ("steps",)
BY_DEFAULT = False


def run_figure(run, title):
    """The distance from the start of a stored run."""
    figure, (panel,) = style.panels(1, 1, (6, 4), title)
    panel.plot(run.steps.step, to_float64(run.steps.distance))
    return figure
''',
    "gradlab/commands/walked.py": '''"""`gradlab walked PATH…`: print how far the parameters have moved."""

from gradlab.commands.arguments import path_arguments


def arguments():
    """The arguments of `gradlab walked`."""
    return path_arguments("walked", "gradlab walked outputs/default")


def main(argv):
    """Print the last distance of every run."""
    options = arguments().parse_args(argv)
    from gradlab.store.read import collect

    for run in collect(options.paths):
        print(f"{run.folder.name} has walked {float(run.steps.distance.iloc[-1]):.3g}")
    return 0
''',
    "experiments/moving.yaml": """# Does a network that learns move?
defaults:
  - override /model: stack
  - override /activation: bent
  - override /data: line
  - override /probe: [forward, backward, gradient, distance]
  - override /snapshot: [slope]
study: moving
batch_size: 16
steps: 4
eval:
  every: 2
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      lr: 0.05,0.1
""",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of gradlab with one more of each kind."""
    folder = tmp_path_factory.mktemp("gradlab")
    for part in ("gradlab", "conf", "experiments"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    for name, text in ADDED_TO.items():
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)
    return folder


def gradlab(project: Path, *words: str) -> str:
    """What a command line of that copy prints."""
    environment = os.environ | {"PYTHONPATH": str(project)}
    done = subprocess.run(
        [sys.executable, "-m", "gradlab", *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ran(project):
    """What the experiment of all parts prints."""
    return gradlab(project, "run", "experiment=moving")


def test_the_experiment_trains_the_model_on_the_data_with_the_activation(project, ran):
    assert "lr=0.05" in ran
    assert "2/2" in ran
    names = [path.name for path in (project / "outputs" / "moving").iterdir() if path.is_dir()]
    assert sum(name.startswith("stack-d1-bent-") and "data_line" in name for name in names) == 2


def test_the_probe_and_the_snapshot_are_stored_and_drawn(project, ran):
    for column in ("distance", "slope"):
        for line in gradlab(project, "plot", "outputs/moving", "--column", column).splitlines():
            assert (project / line).stat().st_size > 5000


def test_the_figure_and_the_command_are_found(project, ran):
    assert len(gradlab(project, "plot", "outputs/moving", "--kind", "walk").splitlines()) == 2
    lines = gradlab(project, "walked", "outputs/moving").splitlines()
    walked = [float(line.rpartition(" ")[2]) for line in lines]
    assert len(walked) == 2
    assert min(walked) > 0
    assert "walked" in gradlab(project, "--help")


def test_contributing_names_every_file_that_was_written():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for name in [*FILES, *ADDED_TO]:
        folder = str(Path(name).parent)
        pattern = folder if folder.startswith("gradlab") else f"{folder.partition('/')[0]}/"
        assert pattern in text, name
