"""A run in a few lines: its recipe, a table of its first and last step, and what it cost."""

import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gradlab.recipe import options
from gradlab.recipe.printing import one_line
from gradlab.store.contents import ORIGIN

if TYPE_CHECKING:
    import pandas as pd

    from gradlab.store.read import Run

DATA_SETS = ("train", "test")
DEFAULT_BATCH, DEFAULT_DTYPE = 128, "float32"  # which a description leaves out
LEAST_SHARE = 0.1  # per cent, from which on a probe's price is named
_OMITTED_IF_NONE = ("normalization", "residual", "penalty")


def describe(recipe: dict[str, Any], used: Collection[str] | None = None) -> str:
    """`mlp · depth 50 · width 64 · tanh · orthogonal · sgd lr 0.1 · clip norm 1.0 · digits · seed 0`.

    `used` are the sizes and parts that take part in the network; None where that is not known: then all are named.
    Of a foreign run, which gradlab has not trained, only what is known: `pytorch.csv · optimizer adam · lr 0.001`.
    """
    if ORIGIN in recipe:
        return _describe_foreign(recipe)
    takes_part: Callable[[str], bool] = lambda name: used is None or name in used
    words = [_part("model", recipe)]
    words += [f"{key} {_size(recipe[key])}" for key in ("depth", "width") if takes_part(key)]
    words += [_part(group, recipe) for group in ("activation", "initializer") if takes_part(group)]
    words += [
        f"{group} {_part(group, recipe)}"
        for group in _OMITTED_IF_NONE
        if recipe[group]["name"] != "none" and (group == "penalty" or takes_part(group))
    ]
    words += [_dropout(recipe)] if recipe["dropout"] and takes_part("dropout") else []
    words += [] if recipe["loss"]["name"] == options.default("loss") else [f"loss {_part('loss', recipe)}"]
    words += [
        _part("optimizer", recipe) + ("" if "phases" in recipe["optimizer"] else f" lr {recipe['lr']:g}")
    ]
    words += [] if recipe["schedule"]["name"] == "constant" else [_part("schedule", recipe)]
    words += [f"clip {_clip(recipe['clip'])}", _part("data", recipe)]
    words += _batch(recipe) if used is None or used else []
    words += [] if recipe["dtype"] == DEFAULT_DTYPE else [recipe["dtype"]]
    words += _loss_scale(recipe.get("loss_scale", {"kind": "none"}))  # runs of earlier versions have none
    words += [f"measured every {recipe['log']['every']} steps"] if recipe["log"]["every"] > 1 else []
    words += [f"accumulate {recipe['accumulate']}"] if recipe["accumulate"] > 1 else []
    words += [f"rate of {path} × {factor:g}" for path, factor in recipe["lr_factors"].items()]
    words += [f"frozen {path}" for path in recipe.get("freeze", [])]
    first, last = recipe["seed"], recipe["seed"] + recipe["seeds"] - 1
    return one_line(" · ".join([*words, f"seed {first}" if first == last else f"seeds {first}–{last}"]))


def _describe_foreign(recipe: dict[str, Any]) -> str:
    """Where a foreign run is from, and what its user has said of it."""
    stated = {key: value for key, value in recipe.items() if key != ORIGIN}
    words = [f"{key} {_stated(value)}" for key, value in stated.items()]
    return one_line(" · ".join([recipe[ORIGIN]["source"], *words]))


def _stated(value: Any) -> str:
    """A number, or the name of an option with its numbers: `norm threshold 1.0`."""
    if not isinstance(value, dict):
        return str(value)
    numbers = [f"{key} {number}" for key, number in value.items() if key != "name"]
    return " ".join([value["name"], *numbers])


def _batch(recipe: dict[str, Any]) -> list[str]:
    size = recipe["batch_size"]
    if size == DEFAULT_BATCH:
        return []
    return [f"batch {size}"] if size else ["all examples"]


def _size(value: int | list[int]) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _dropout(recipe: dict[str, Any]) -> str:
    kind = "alpha dropout" if recipe.get("dropout_kind") == "alpha" else "dropout"
    return f"{kind} {recipe['dropout']:g}"


def _loss_scale(scale: dict[str, Any]) -> list[str]:
    return [] if scale["kind"] == "none" else [f"loss scale {scale['kind']} {scale['value']:g}"]


def title(run: "Run") -> str:
    """The title of a run's figures: its recipe, and the name of a foreign run.

    Notes behind it say that its data are synthetic, and of a run that is not over how far it is.
    """
    name = f"{run.name} · " if run.is_foreign else ""
    described = name + short_numbers(describe(run.recipe, run.status.get("used")))
    so_far = f" ({run.status['state']}: {run.progress} so far)" if is_unfinished(run) else ""
    return described + (" (synthetic data)" if is_synthetic(run) else "") + so_far


def is_unfinished(run: "Run") -> bool:
    """Whether it is being written, or its process is gone: it has the rows of its steps so far."""
    return run.status["state"] in ("running", "killed")


def short_numbers(text: str) -> str:
    """The text with numbers of three digits: `norm 1.0` as `norm 1`, `0.123456` as `0.123`."""
    return re.sub(
        r"(?<![\w.])\d+\.\d+(?:e[-+]?\d+)?(?![\w.])", lambda number: f"{float(number[0]):.3g}", text
    )


def is_synthetic(run: "Run") -> bool:
    """Whether the run's data were generated."""
    return str((run.status.get("data") or {}).get("source", "")).startswith("synthetic")


def _part(group: str, recipe: dict[str, Any], without_key: str = "") -> str:
    """An option's name and those of its values that are not the defaults; `without_key` always, as a bare number."""
    part = recipe[group]
    if "phases" in part:
        return " then ".join(_phase(phase, recipe["lr"]) for phase in part["phases"])
    defaults = options.parameters(group, part["name"])
    words = [part["name"], *([str(part[without_key])] if without_key in part else [])]
    for key, value in part.items():
        if key in ("name", without_key) or defaults.get(key) is None:
            continue
        if not _same_value(str(value), defaults[key]):
            words.append(f"{key} {value}")
    return " ".join(words)


def _clip(part: dict[str, Any]) -> str:
    """`norm 1.0`; of a chain `tensor_norm 0.5, then norm 1.0`; of thresholds by pattern `norm 1.0 (output/* 2.0)`."""
    if isinstance(part.get("clips"), dict):
        where = " where update" if part.get("where") == "update" else ""
        return ", then ".join(map(_clip, part["clips"].values())) + where
    thresholds = part.get("thresholds", {})
    others = {key: value for key, value in part.items() if key != "thresholds"}
    words = _part("clip", {"clip": others}, without_key="threshold")
    by_pattern = ", ".join(f"{pattern} {number:g}" for pattern, number in thresholds.items())
    return f"{words} ({by_pattern})" if by_pattern else words


def _phase(phase: dict[str, Any], lr: float) -> str:
    """`adam lr 0.001 until step 250`."""
    ends = [
        f"until {key.removeprefix('until_')} {value:g}"
        for key, value in phase.items()
        if key.startswith("until_")
    ]
    return " ".join([phase["optimizer"], f"lr {phase.get('lr', lr):g}", *ends])


def _same_value(text: str, default: str) -> bool:
    try:
        return text.lower() == default.lower() or float(text) == float(default)
    except ValueError:
        return False


def start_and_end(run: "Run", width: int | None = None) -> str:
    """A table of the first and the last step: loss, scores, gradient norm, and the backward signal of two layers.

    A line is a step, or where that is more than `width` characters a column is.
    """
    from gradlab.analysis.score import score_of
    from gradlab.analysis.selection import defined_backward

    score = score_of(run.status["data"])
    rows = run.steps[(run.steps.source == "batch") & run.steps.train_loss.notna()]
    last = int(run.layers.layer.max()) - 1
    hidden = list(dict.fromkeys([1, last])) if last > 0 else []
    parts = DATA_SETS if score.name != "loss" else ()
    scores = [f"{part} {score.label}" for part in parts]
    table = [["step", "train loss", *scores, "‖gradient‖", *(f"backward {layer}" for layer in hidden)]]
    for step in sorted({int(rows.step.min()), int(rows.step.max())}) if len(rows) else []:
        at_step = rows[rows.step == step]
        layers = defined_backward(run.layers[(run.layers.source == "batch") & (run.layers.step == step)])
        cells = [str(step), _mean_text(at_step.train_loss, "{:.3g}".format)]
        cells += [_mean_text(score.series(at_step, part), "{:.2f}".format) for part in parts]
        cells += [_mean_text(at_step.log10_gradient, power_of_ten)]
        cells += [_mean_text(layers[layers.layer == layer].log10_backward, power_of_ten) for layer in hidden]
        table.append(cells)
    lines = aligned(table)
    is_too_wide = width is not None and max(map(len, lines.splitlines())) > width
    return aligned(zip(*table, strict=True)) if is_too_wide else lines


def cost(status: dict[str, Any]) -> str:
    """Where the run was made and how long it took: `cpu, 1 thread, 6.1 s, of which 3.2 s compiling`."""
    threads = status["threads"]
    device = [status["device"], *([f"{threads} thread{'s' * (threads > 1)}"] if threads else [])]
    seconds = f"{status['seconds']:.1f} s, of which {status['compile_seconds']:.1f} s compiling"
    return ", ".join([*device, seconds])


def prices(status: dict[str, Any]) -> str:
    """The share of time that the probes took, dearest first: `11 % of the 2.6 s after compiling: gradient 7.9 %`."""
    seconds = {key: value for key, value in status.get("probe_seconds", {}).items() if value > 0}
    after = status["seconds"] - status["compile_seconds"]
    if not seconds or not after > 0:
        return ""
    shares = {key: 100 * value / after for key, value in seconds.items()}
    dearest = sorted(((share, key) for key, share in shares.items() if share >= LEAST_SHARE), reverse=True)
    words = ", ".join(f"{key} {share:.2g} %" for share, key in dearest)
    whole = f"{sum(shares.values()):.2g} % of the {after:.1f} s after compiling"
    return f"{whole}: {words}" if words else whole


def _mean_text(column: "pd.Series", write: Callable[[float], str]) -> str:
    """The mean over seeds; a value that is not finite stands for all; "" where nothing was measured."""
    values = [float(value) for value in column[column.notna()]]
    if not values:
        return ""
    nonfinite = [value for value in values if not math.isfinite(value)]
    return write(nonfinite[0] if nonfinite else math.fsum(values) / len(values))


def power_of_ten(log10: float) -> str:
    """10 to the power `log10`, also far outside the range of floats: 0.05, 3.2e-127."""
    if math.isnan(log10) or log10 == math.inf:
        return str(log10)
    if log10 == -math.inf:
        return "0"
    if -3 <= log10 <= 4:
        return f"{10**log10:.3g}"
    exponent = math.floor(log10)
    mantissa = round(10 ** (log10 - exponent), 1)
    if mantissa >= 10:  # 9.96 is rounded to 10.0
        mantissa, exponent = mantissa / 10, exponent + 1
    return f"{mantissa:.1f}e{exponent:+d}"


def aligned(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Rows of cells as a table, the first column aligned to the left and the others to the right."""
    table = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(indent + "  ".join(_pad(row, widths)) for row in table)


def _pad(row: list[str], widths: list[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
