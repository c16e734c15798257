"""A stored run of every kind, made without training: all columns have numbers of the right sort."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from gradlab.measurements.columns import KEYS
from gradlab.store.read import Run, open_run
from tests import runs

LSTM_NOTES = ("saturated_input", "saturated_forget", "mean_forget", "spectral_radius_forget")
NOTES = {
    "lstm": LSTM_NOTES,
    "rnn": ("spectral_radius", "largest_singular_value"),
    "transformer": ("attention_entropy",),
    "point": ("theta_1", "theta_2"),
}


class Kind(NamedTuple):
    """A run of a model with these layers; `bad` is the value of all signals from the first step on."""

    model: str
    names: tuple[str, ...]
    steps: tuple[int, ...] = (0, 5, 10)
    seeds: int = 1
    bad: float | None = None
    state: str = "finished"


def mlp_names(depth: int) -> tuple[str, ...]:
    return ("input", *(f"hidden {layer}" for layer in range(1, depth + 1)), "output")


RESNET = ("input", "stage1 1", "stage1 2", "entry2", "stage2 1", "output")
KINDS = {
    "mlp": Kind("mlp", mlp_names(5)),
    "resnet": Kind("resnet", RESNET),
    "transformer": Kind("transformer", ("input", "block 1", "block 2", "output")),
    "lstm": Kind("lstm", ("input", "first", "upper 1", "output")),
    "rnn": Kind("rnn", ("input", "first", "output")),
    "point": Kind("point", ("point",)),
    "user-defined": Kind("custom", ("Dense_0", "a layer with a name of very many letters", "$_x")),
    "diverged": Kind("mlp", mlp_names(5), steps=(0,), bad=np.nan, state="diverged"),
    "infinite": Kind("mlp", mlp_names(5), bad=np.inf),
    "cut": Kind("mlp", mlp_names(5), bad=-np.inf),
    "killed": Kind("mlp", mlp_names(5), steps=(0, 1), state="running"),
    "many seeds": Kind("mlp", mlp_names(5), seeds=6),
    "depth 1": Kind("mlp", mlp_names(1)),
    "depth 1000": Kind("mlp", mlp_names(1000)),
    "no step": Kind("mlp", mlp_names(5), steps=(0,)),
}


def stored(folder: Path, kind: Kind) -> Run:
    """The run of a kind, written and opened."""
    random = np.random.default_rng(0)
    layers = [_layers(kind, seed, random) for seed in range(kind.seeds)]
    steps = [_steps(kind, seed, random) for seed in range(kind.seeds)]
    recipe = runs.recipe(
        model={"name": kind.model, "start": [1.0, 2.0]} if kind.model == "point" else {"name": kind.model},
        depth=max(len(kind.names) - 2, 1),
        seeds=kind.seeds,
        loss={"name": "rosenbrock"} if kind.model == "point" else {"name": "cross_entropy"},
    )
    runs.write(folder, recipe, runs.status(kind.state), layers, steps)
    for name, columns in _others(kind, random).items():
        (folder / name).mkdir()
        pq.write_table(runs.table(name, columns), folder / name / "all.parquet")
    return open_run(folder, running=True)


def _values(field: Any, count: int, random: np.random.Generator, bad: float | None) -> list[Any]:
    """Numbers as the column has them: logarithms, counts, fractions."""
    if field.type == "int32":
        return random.integers(0, 5, count).tolist()
    is_log = field.name.startswith("log10")
    if bad is not None and is_log:
        return [bad] * count
    return (random.normal(0, 1, count) if is_log else random.uniform(0, 1, count)).tolist()


def _layers(kind: Kind, seed: int, random: np.random.Generator) -> Any:
    count = len(kind.names)
    columns: dict[str, Any] = {
        "seed": [seed] * count * len(kind.steps),
        "step": np.repeat(kind.steps, count).tolist(),
        "source": ["batch"] * count * len(kind.steps),
        "layer": list(range(count)) * len(kind.steps),
        "name": list(kind.names) * len(kind.steps),
        "size": [64] * count * len(kind.steps),
    }
    keys = {name for name, _ in KEYS["layers"]}
    for field in runs.SCHEMAS["layers"]:
        if field.name not in keys:
            columns[field.name] = _values(field, count * len(kind.steps), random, kind.bad)
    return runs.table("layers", columns)


def _steps(kind: Kind, seed: int, random: np.random.Generator) -> Any:
    count = len(kind.steps)
    more = {
        field.name: _values(field, count, random, kind.bad)
        for field in runs.SCHEMAS["steps"]
        if field.name not in ("seed", "step", "source", "loss", "train_loss", "learning_rate", "phase")
    }
    loss = np.linspace(2.3, 0.5, count) if kind.bad is None else np.full(count, abs(kind.bad))
    return runs.step_table(loss.tolist(), list(kind.steps), seed=seed, **more)


def _others(kind: Kind, random: np.random.Generator) -> dict[str, dict[str, Any]]:
    """The columns of the tables of notes and times."""
    tables = {}
    inner = [i for i, name in enumerate(kind.names) if name not in ("input", "output")]
    if kind.model in NOTES:
        rows = [(step, layer, name) for step in kind.steps for layer in inner for name in NOTES[kind.model]]
        tables["notes"] = _keys(kind, rows) | {
            "measure": [name for *_, name in rows],
            "value": random.uniform(0.2, 1, len(rows)).tolist(),
        }
    if kind.model in ("lstm", "rnn"):
        rows = [(step, layer, time) for step in kind.steps for layer in inner for time in range(1, 9)]
        tables["times"] = _keys(kind, rows) | {
            "time": [time for *_, time in rows],
            "log10_backward": [0.05 * step + 0.1 * time for step, _, time in rows],
        }
    return tables


def _keys(kind: Kind, rows: list[tuple[int, int, Any]]) -> dict[str, Any]:
    return {
        "seed": [0] * len(rows),
        "step": [step for step, *_ in rows],
        "source": ["batch"] * len(rows),
        "layer": [layer for _, layer, _ in rows],
        "name": [kind.names[layer] for _, layer, _ in rows],
    }
