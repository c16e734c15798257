"""Run folders made by hand, of the schema to the letter: what the right wing is tested on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from gradlab.measurements.columns import VERSION, schemas
from gradlab.measurements.probe import probe
from gradlab.measurements.row import row_columns
from gradlab.store.read import Run, open_run

RECIPE: dict[str, Any] = {
    "model": {"name": "mlp"},
    "activation": {"name": "tanh"},
    "initializer": {"name": "orthogonal", "gain": 1.0},
    "normalization": {"name": "none"},
    "residual": {"name": "none"},
    "optimizer": {"name": "sgd"},
    "schedule": {"name": "constant"},
    "clip": {"name": "none"},
    "penalty": {"name": "none"},
    "loss": {"name": "cross_entropy"},
    "data": {"name": "digits", "seed": 0, "test_fraction": 0.2},
    "probes": {"backward": {"name": "backward"}},
    "depth": 20,
    "width": 64,
    "steps": 100,
    "batch_size": 128,
    "accumulate": 1,
    "lr": 0.1,
    "lr_factors": {},
    "dropout": 0.0,
    "seed": 0,
    "seeds": 1,
    "dtype": "float32",
    "remat": False,
    "log": {"every": 1},
    "eval": {"every": 10},
    "stop": {"patience": 0, "loss": 0.0},
    "on_nonfinite": "stop",
    "device": "auto",
    "study": "default",
    "outputs": "outputs",
    "force": False,
    "quiet": False,
}
DATA = {
    "name": "digits",
    "source": "real: scikit-learn digits",
    "train": 1437,
    "test": 360,
    "features": 64,
    "outputs": 10,
    "chance_accuracy": 0.10,
    "chance_loss": 2.302585,
    "second_moment": 0.95,
    "cosine": 0.01,
}


# of a run with every probe of gradlab
PROBES = [made for name in sorted(probe.makers) for made in probe.make({"name": name})]
SCHEMAS = schemas(row_columns(PROBES).declared)


def recipe(**changes: Any) -> dict[str, Any]:
    """The default recipe with changes."""
    return RECIPE | changes


def status(state: str = "finished", **changes: Any) -> dict[str, Any]:
    """A status.json with changes."""
    made = {"schema": VERSION, "state": state, "message": "", "name": "x", "steps_done": 100, "versions": {}}
    made |= {
        "device": "cpu",
        "device_kind": "cpu",
        "threads": 1,
        "stopped": [],
        "started": "2026-01-01T00:00:00",
        "seconds": 1.0,
        "parameters": 1,
    }
    return made | {"compile_seconds": 1.0, "memory_mib": 1.0, "data": DATA, "nonfinite": []} | changes


def table(name: str, columns: dict[str, Any]) -> pa.Table:
    """Columns as a table of the schema; those not given were not measured, None is null and NaN stays NaN."""
    schema = SCHEMAS[name]
    rows = len(columns["step"])
    arrays = [pa.array(columns.get(field.name, [None] * rows), from_pandas=False) for field in schema]
    return pa.Table.from_arrays(arrays, schema.names).cast(schema)


def layer_table(
    backward: np.ndarray, steps: list[int], forward: np.ndarray | None = None, seed: int = 0, **more
):
    """Rows of one seed from profiles of shape (steps, layers 0…L+1)."""
    count, depth = backward.shape
    hidden = [f"hidden {l}" for l in range(1, depth - 1)]
    columns: dict[str, Any] = {
        "seed": [seed] * backward.size,
        "step": np.repeat(steps, depth).tolist(),
        "source": ["batch"] * backward.size,
        "layer": np.tile(np.arange(depth), count).tolist(),
        "name": ["input", *hidden, "output"] * count,
        "size": [4096] * backward.size,
        "log10_backward": backward.ravel().tolist(),
        "log10_forward": (np.zeros_like(backward) if forward is None else forward).ravel().tolist(),
    }
    return table("layers", columns | {key: np.asarray(value).ravel().tolist() for key, value in more.items()})


def step_table(loss: list, steps: list[int], seed: int = 0, **more: Any) -> pa.Table:
    """Rows of one seed; the training loss is evaluated at every row."""
    count = len(steps)
    rates = [0.1] * (count - 1) + [None]
    columns: dict[str, Any] = {"seed": [seed] * count, "step": steps, "source": ["batch"] * count}
    columns |= {"loss": loss, "train_loss": loss, "learning_rate": rates, "penalty": [0.0] * count}
    return table("steps", columns | more)


def walk(depth: int, steps: int, gain: float = 0.97, spread: float = 0.03, seed: int = 0) -> np.ndarray:
    """Backward profiles as random walks from the last hidden layer: shape (steps, depth + 2)."""
    random = np.random.default_rng(seed)
    change = np.log10(gain) + spread * random.standard_normal((steps, depth + 1))
    below = np.cumsum(change[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([below, np.zeros((steps, 1))], axis=1) - 0.5


def write(folder: Path, made: dict, state: dict, layers: list[pa.Table], steps: list[pa.Table]) -> Path:
    """A run's folder, compacted."""
    for name, pieces in {"layers": layers, "steps": steps}.items():
        (folder / name).mkdir(parents=True)
        if pieces:
            pq.write_table(pa.concat_tables(pieces), folder / name / "all.parquet")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(made, sort_keys=False))
    (folder / "status.json").write_text(json.dumps(state))
    return folder


def simple(folder: Path, depth: int = 20, seeds: int = 1, gain: float = 0.97, **changes: Any) -> Path:
    """A finished run that learned, of `seeds` seeds and eleven logged steps."""
    logged = list(range(0, 101, 10))
    losses = np.geomspace(2.35, 0.09, 11).tolist()
    rising = np.linspace(0.1, 0.97, 11).tolist()
    layers = [layer_table(walk(depth, 11, gain, seed=seed), logged, seed=seed) for seed in range(seeds)]
    scores = {"train_accuracy": rising, "test_accuracy": rising, "test_loss": losses}
    steps = [step_table(losses, logged, seed=seed, **scores) for seed in range(seeds)]
    return write(folder, recipe(depth=depth, seeds=seeds, **changes), status(), layers, steps)


def opened(
    folder: Path, layers: list[pa.Table], steps: list[pa.Table], state: dict | None = None, **changes
) -> Run:
    """The same, from given tables, opened."""
    return open_run(write(folder, recipe(**changes), state or status(), layers, steps))
