"""Logs as other programs write them, and an independent reader of them."""

import csv
import math
from pathlib import Path

import pandas as pd

CANONICAL = ("log10_forward", "log10_backward", "log10_gradient", "log10_weight")
SAMPLES = Path(__file__).parent / "samples"


def write_csv(path: Path, rows: list[dict]) -> Path:
    """Rows as CSV; a key that a row does not have is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def long_rows(steps=(0, 10, 20), layers=6, slope=0.5, **columns) -> list[dict]:
    """A canonical table whose backward signal falls by `slope` decades per layer, back from the last one."""
    names = ["input", *(f"layers.{number}" for number in range(1, layers - 1)), "output"]
    return [
        {
            "step": step,
            "layer": name,
            "log10_backward": round(-slope * (layers - 1 - index), 6),
            "loss": 2 / (1 + step),
            **{key: value(step, index) if callable(value) else value for key, value in columns.items()},
        }
        for step in steps
        for index, name in enumerate(names)
    ]


def exported(run, path: Path) -> Path:
    """The layers of a stored run as a canonical table, its loss in the rows of all layers."""
    layers = run.layers[(run.layers.source == "batch").to_numpy()]
    loss = run.steps[(run.steps.source == "batch").to_numpy()].set_index("step").loss
    table = pd.DataFrame({"step": layers.step, "layer": layers.name})
    for name in CANONICAL:
        if name in layers:
            table[name] = [_spelt(value) for value in layers[name]]
    table["loss"] = [_spelt(loss[step]) for step in layers.step]
    table.to_csv(path, index=False)
    return path


def _spelt(value) -> str:
    return "" if value is pd.NA else repr(float(value))


def read_slowly(path: Path, name: str) -> dict[tuple[int, str], float]:
    """The values of a column by step and layer, cell by cell."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {(int(float(row["step"])), row["layer"]): float(row[name]) for row in rows if row.get(name)}


def stored(frame: pd.DataFrame, name: str) -> dict[tuple[int, str], float]:
    """The measured values of a stored column by step and layer."""
    rows = frame[frame[name].notna()]
    return {
        (int(step), str(layer)): float(v)
        for step, layer, v in zip(rows.step, rows.name, rows[name], strict=True)
    }


def same(left: dict, right: dict) -> bool:
    """Equal keys and values to the rounding of float32; NaN is NaN."""
    close = lambda a, b: (
        (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-7)
    )
    return left.keys() == right.keys() and all(close(left[key], right[key]) for key in left)
