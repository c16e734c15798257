"""What the columns of a log are: by names that are known, by the words in a name, or as the user says; never a guess.

A norm may be a norm, a squared norm or a logarithm: where the name does not say which, the user is asked.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.logs.foreign_writer import DEFINITIONS
from gradlab.recipe.errors import RecipeError, hint

MEASURES = {
    name.removeprefix("log10_"): name for name in DEFINITIONS
}  # forward, backward, gradient, weight, update
UNITS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "norm": np.log10,
    "squared": lambda squares: np.log10(squares) / 2,
    "log10": lambda logs: logs,
    "ln": lambda logs: logs / np.log(10),
}
STEPS = "step _step global_step trainer/global_step train/global_step iteration iter".split()
LAYERS = "layer layer_name module parameter param name".split()
# columns of the table of steps: the names by which programs call them, the first one that a log has counts
NUMBERS = {
    "loss": "loss train/loss train_loss train_loss_step training_loss loss/train Loss/train",
    "learning_rate": "learning_rate train/learning_rate lr train/lr",
    "log10_gradient": "grad_norm train/grad_norm grad_2.0_norm_total gradient_norm global_grad_norm",
    "test_loss": "eval_loss eval/loss val_loss val/loss validation_loss test_loss loss/val Loss/val",
    "test_accuracy": "eval_accuracy eval/accuracy val_accuracy val_acc val/accuracy test_accuracy",
}
_AMBIGUOUS = {
    "sq",
    "squared",
    "square",
    "squares",
    "sqr",
    "log",
    "log2",
    "mean",
    "max",
    "min",
    "std",
    "var",
    "abs",
    "inf",
}
_ACTIVATION = {"act", "acts", "activation", "activations", "output", "outputs", "hidden", "signal"}


class Stated(NamedTuple):
    """What the user says of the columns; "" where nothing is said."""

    step_column: str = ""
    layer_column: str = ""
    value: str = ""
    measure: str = ""
    unit: str = ""


class Values(NamedTuple):
    """A column with values of layers: what it measures, its unit, and its layer; "" where a column of words has it."""

    column: str
    measure: str
    unit: str
    layer: str = ""


class Roles(NamedTuple):
    """What the columns of a log are; `layer` is "" where each layer has its own column.

    numbers: column and unit ("" for a plain number) by the name in the table of steps.
    origins: which columns a column of the run was made of, as `grad_norm/*`.
    """

    step: str
    layer: str
    values: list[Values]
    numbers: dict[str, tuple[str, str]]
    origins: dict[str, str]


def roles_of(names: Sequence[str], stated: Stated) -> Roles:
    """The roles of the columns of these names.

    Raises:
        RecipeError: a column that was stated is not there; there is no column of steps, or none that is of use; or a
            unit is not known.
    """
    step = _column(names, stated.step_column, STEPS, "step")
    if not step:
        raise RecipeError(f"there is no column of steps{_columns_text(names)}; name it by --step-column")
    layer = _column(names, stated.layer_column, LAYERS, "layer")
    others = [name for name in names if name != layer]
    if layer and not (stated.layer_column or stated.value) and not _long_values(others, stated):
        layer = ""  # a column `name` of a wide log is a name of something else
    values = _values(names, layer, stated)
    of_layers = {entry.column for entry in values}
    numbers = _numbers([name for name in names if name not in of_layers], bool(layer), stated)
    if not values and not numbers:
        raise RecipeError(
            f"no column is a loss, a gradient norm or a measure of layers{_columns_text(names)}; name it by --value"
        )
    origins = {name: column for name, (column, _) in numbers.items()}
    for entry in values:
        beginning = entry.column[: len(entry.column) - len(entry.layer)] if entry.layer else entry.column
        pattern = stated.value or (f"{beginning}*" if entry.layer else entry.column)
        origins.setdefault(MEASURES[entry.measure], pattern)
    return Roles(step, layer, values, numbers, origins)


def _column(names: Sequence[str], stated: str, known: Sequence[str], what: str) -> str:
    """The column that was stated, or the first of the known names that the log has, or ""."""
    if stated and stated not in names:
        raise RecipeError(f"there is no column '{stated}' for --{what}-column{hint(stated, names)}")
    return stated or next((name for name in known if name in names), "")


def _values(names: Sequence[str], layer: str, stated: Stated) -> list[Values]:
    """The columns of layers: of a long log, of a wide one, or those that the user names."""
    if stated.value:
        return _stated_values(names, layer, stated)
    if layer:
        return _long_values([name for name in names if name != layer], stated)
    return _wide_values(names, stated)


def _wide_values(names: Sequence[str], stated: Stated) -> list[Values]:
    """The columns of layers of a log with a column for each; those of unknown unit only where there are no others.

    Without a unit in its name only a gradient is taken for one: `params/lr` is no layer.
    """
    found = [(name, *parts) for name in names if (parts := _wide(name)) is not None]
    gradients = [parts for parts in found if parts[2] in ("gradient", "backward")]
    known = [parts for parts in found if unit_of(parts[1]) or (stated.unit and parts in gradients)]
    return [
        Values(name, stated.measure or measure, _unit(prefix, stated), layer)
        for name, prefix, measure, layer in known or gradients
    ]


def _stated_values(names: Sequence[str], layer: str, stated: Stated) -> list[Values]:
    """The columns of --value, in which * stands for the name of the layer."""
    pattern = re.escape(stated.value).replace(r"\*", "(.+)", 1)
    matches = {name: found for name in names if (found := re.fullmatch(pattern, name))}
    if not matches:
        raise RecipeError(f"there is no column '{stated.value}' for --value{hint(stated.value, names)}")
    if "*" not in stated.value and not layer:
        raise RecipeError(
            f"--value {stated.value} has no layers: name their column by --layer-column, or put * where a name of a "
            "layer stands"
        )
    fixed = stated.value.replace("*", "/")
    measure = stated.measure or measure_of(fixed)
    if not measure:
        raise RecipeError(f"what is {stated.value}? give --measure {', '.join(MEASURES)}")
    unit = _unit(fixed, stated)
    return [
        Values(name, measure, unit, found[1] if "*" in stated.value else "")
        for name, found in matches.items()
    ]


def _long_values(names: Sequence[str], stated: Stated) -> list[Values]:
    """The columns of a log with a row for each step and layer; canonical ones, else those whose names say it."""
    if canonical := [name for name in names if name in DEFINITIONS]:
        return [Values(name, name.removeprefix("log10_"), "log10") for name in canonical]
    measures = {name: stated.measure or measure_of(name) for name in names if measure_of(name)}
    found = [Values(name, measure, _unit(name, stated)) for name, measure in measures.items() if measure]
    if twice := [entry for entry in found if [other.measure for other in found].count(entry.measure) > 1]:
        raise RecipeError(
            f"{twice[0].column} and {twice[1].column} are both a {twice[0].measure}; choose one by --value"
        )
    return found


def _wide(name: str) -> tuple[str, str, str] | None:
    """Prefix, measure and layer of `grad_norm/layers.3.weight`, also as `train/grad_norm/layers.3.weight`."""
    segments = name.split("/")
    for index, segment in enumerate(segments[:-1]):
        if measure := measure_of(segment):
            return "/".join(segments[: index + 1]), measure, "/".join(segments[index + 1 :])
    return None


def measure_of(name: str) -> str:
    """What a name says that it measures: forward, backward, gradient, weight or update; "" where it does not say."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    gradient = any(word.startswith("grad") for word in words)
    if "backward" in words or (gradient and words & _ACTIVATION):
        return "backward"
    if gradient:
        return "gradient"
    if "update" in words or "updates" in words:
        return "update"
    if words & {"weight", "weights", "param", "params", "parameters"}:
        return "weight"
    return "forward" if words & {"forward", *_ACTIVATION} else ""


def unit_of(name: str) -> str:
    """The unit that a name says, `norm` or `log10`; "" where it may be another."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    order = re.search(r"grad_([\w.]+)_norm", name)  # as Lightning names the p of a p-norm
    if "log10" in words:
        return "log10"
    if (
        words & _AMBIGUOUS
        or re.search(r"norm_?2|sq", name.lower())
        or (order and order[1] not in ("2", "2.0"))
    ):
        return ""
    return "norm" if any("norm" in word for word in words) or words & {"rms", "l2"} else ""


def _unit(name: str, stated: Stated) -> str:
    if not (unit := stated.unit or unit_of(name)):
        raise RecipeError(
            f"the unit of {name} is not known: give --unit norm (the 2-norm or RMS), squared, log10 or ln"
        )
    return unit


def _numbers(names: Sequence[str], is_long: bool, stated: Stated) -> dict[str, tuple[str, str]]:
    """The columns of the table of steps; a gradient norm without layers is that of all parameters."""
    numbers: dict[str, tuple[str, str]] = {}
    for target, known in NUMBERS.items():
        if column := next((name for name in known.split() if name in names), ""):
            numbers[target] = (column, "norm" if target == "log10_gradient" else "")
    if "log10_gradient" not in numbers and not is_long and not stated.value:
        of_all = [
            name
            for name in names
            if measure_of(name) == "gradient" and "/" not in name.removeprefix("train/")
        ]
        if len(of_all) == 1:
            numbers["log10_gradient"] = (of_all[0], _unit(of_all[0], stated))
    return numbers


def _columns_text(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f" among {shown}{f' and {len(names) - 8} others' if len(names) > 8 else ''}"
