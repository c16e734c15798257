"""The numbers that the page draws itself: profiles over layers and steps, losses and scores over steps.

They are a selection: of a run with many steps and layers some are left out, evenly, and the page says so. A logarithm
is a whole number of thousandths of a decade, which three digits of a value need; what is no number is a letter.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from gradlab.analysis.selection import defined_backward, is_measured, minibatch_rows, rows_with, to_float64

if TYPE_CHECKING:
    from gradlab.store.read import Run

PROFILES = {
    "log10_backward": "backward signal ‖∂loss/∂h‖",
    "log10_forward": "forward signal, RMS per unit",
    "log10_gradient": "weight gradient ‖∂loss/∂W‖",
    "log10_update": "update ‖ΔW‖",
}
COURSES = {
    "train_loss": "training loss",
    "test_loss": "test loss",
    "loss": "minibatch loss",
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "log10_gradient": "gradient norm, all layers",
}
MOST_LAYERS = 200  # of a profile
ZERO, INFINITE, NAN = "z", "i", "n"  # in place of a number; null was not measured
THOUSANDTHS = 1000


class Budget(NamedTuple):
    """How many numbers of a run the page has: of each profile, and of each course."""

    profile: int
    course: int


def budget(runs: int) -> Budget:
    """So many that a page of any number of runs stays small: 120 steps of 50 layers for one run, 23 for each of 20."""
    return Budget(max(400, min(6300, 24_000 // runs)), max(40, min(300, 2000 // runs)))


def curves(run: "Run", most: Budget) -> dict[str, Any]:
    """The profiles and courses of the first seed of a run, as JSON has them.

    Raises:
        RecipeError: its tables cannot be read.
    """
    return _profiles(run, most.profile) | {"courses": _courses(run, most.course)}


def _profiles(run: "Run", most: int) -> dict[str, Any]:
    rows = _of_first_seed(defined_backward(minibatch_rows(run.layers)))
    measured = {name: is_measured(rows[name]) for name in PROFILES if name in rows}
    columns = [name for name, where in measured.items() if where.any()]
    if not columns:
        return {"steps": [], "layers": [], "names": [], "profiles": {}, "steps_stored": 0, "layers_stored": 0}
    rows = rows[np.logical_or.reduce([measured[name] for name in columns])]
    all_layers, all_steps = np.unique(rows.layer.to_numpy()), np.unique(rows.step.to_numpy())
    layers = _evenly(all_layers, MOST_LAYERS)
    steps = _evenly(all_steps, max(2, most // len(layers)))
    kept = rows[(rows.layer.isin(layers) & rows.step.isin(steps)).to_numpy()]
    at = np.searchsorted(steps, kept.step.to_numpy()), np.searchsorted(layers, kept.layer.to_numpy())
    names = dict(zip(kept.layer.tolist(), map(str, kept.name), strict=True)) if "name" in kept else {}
    return {
        "steps": steps.tolist(),
        "layers": layers.tolist(),
        # of a log without names a layer is called by its number
        "names": ["" if (name := names.get(layer, "")) == str(layer) else name for layer in layers.tolist()],
        "profiles": {name: _grid(kept[name], at, (len(steps), len(layers))) for name in columns},
        "steps_stored": len(all_steps),
        "layers_stored": len(all_layers),
    }


def _of_first_seed(rows: pd.DataFrame) -> pd.DataFrame:
    first: pd.DataFrame = rows[(rows.seed == rows.seed.min()).to_numpy()]
    return first


def _evenly(values: np.ndarray, most: int) -> np.ndarray:
    """At most so many of sorted values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return values
    chosen: np.ndarray = values[np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))]
    return chosen


def _grid(
    column: pd.Series, at: tuple[np.ndarray, np.ndarray], shape: tuple[int, int]
) -> list[list[int | str | None]]:
    """A column by step and layer."""
    table: list[list[int | str | None]] = [[None] * shape[1] for _ in range(shape[0])]
    for step, layer, value in zip(*at, logarithms(column), strict=True):
        table[step][layer] = value
    return table


def logarithms(column: pd.Series) -> list[int | str | None]:
    """log10 values as whole thousandths; of an exact zero (−inf) `z`, of infinity `i`, of NaN `n`."""
    values = to_float64(column)
    finite = np.isfinite(values)
    whole = np.where(finite, np.round(np.where(finite, values, 0) * THOUSANDTHS), 0).astype(int).tolist()
    return _with_letters(column, values, whole, ZERO)


def _with_letters(
    column: pd.Series, values: np.ndarray, numbers: Sequence[Any], of_minus_inf: str | None
) -> list[Any]:
    texts: list[Any] = list(numbers)
    for index in np.flatnonzero(~np.isfinite(values)):
        value = values[index]
        texts[index] = NAN if np.isnan(value) else INFINITE if value > 0 else of_minus_inf
    for index in np.flatnonzero(~is_measured(column)):
        texts[index] = None
    return texts


def _courses(run: "Run", most: int) -> dict[str, Any]:
    """Each measured column of the steps with its own steps: `{"loss": {"steps": […], "values": […]}}`."""
    rows = _of_first_seed(minibatch_rows(run.steps))
    courses = {}
    for name in COURSES:
        if name not in rows or (measured := rows_with(rows, name)).empty:
            continue
        measured = measured[measured.step.isin(_evenly(np.unique(measured.step), most)).to_numpy()]
        column = measured[name]
        is_log = name.startswith("log10_")
        values = logarithms(column) if is_log else _amounts(column)
        courses[name] = {"steps": measured.step.tolist(), "values": values}
    return courses


def _amounts(column: pd.Series) -> list[Any]:
    """Values with four digits; −inf, which no loss is, is NaN's letter."""
    values = to_float64(column)
    digits = [float(f"{value:.4g}") if np.isfinite(value) else 0 for value in values]
    return _with_letters(column, values, digits, NAN)


def as_json(data: Any) -> str:
    """JSON that can stand in a `<script>` element: nothing in it closes the element or begins a comment."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
