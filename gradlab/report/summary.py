"""What a run says at its end, in a few lines: what it was, where it began and ended, what is to be seen."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gradlab.recipe import options

if TYPE_CHECKING:
    from gradlab.store.read import Run

PARTS = ("train", "test")
_SILENT = ("normalization", "residual", "penalty")  # groups whose `none` goes without saying


def describe(recipe: dict[str, Any]) -> str:
    """`mlp · depth 50 · width 64 · tanh · orthogonal · sgd lr 0.1 · clip norm 1.0 · digits · seed 0`."""
    optimizer = _part("optimizer", recipe)
    optimizer += "" if "phases" in recipe["optimizer"] else f" lr {recipe['lr']:g}"
    words = [_part("model", recipe), f"depth {recipe['depth']}", f"width {recipe['width']}"]
    words += [_part(group, recipe) for group in ("activation", "initializer")]
    words += [f"{group} {_part(group, recipe)}" for group in _SILENT if recipe[group]["name"] != "none"]
    words += [f"dropout {recipe['dropout']:g}"] if recipe["dropout"] else []
    words += (
        [optimizer] if recipe["schedule"]["name"] == "constant" else [optimizer, _part("schedule", recipe)]
    )
    words += [f"clip {_part('clip', recipe, always='threshold')}", _part("data", recipe)]
    words += [f"accumulate {recipe['accumulate']}"] if recipe["accumulate"] > 1 else []
    words += [f"rate of {path} × {factor:g}" for path, factor in recipe["lr_factors"].items()]
    first, last = recipe["seed"], recipe["seed"] + recipe["seeds"] - 1
    return " · ".join([*words, f"seed {first}" if first == last else f"seeds {first}–{last}"])


def title(run: "Run") -> str:
    """What a figure says of its run: the recipe, and that its data are made up where they are."""
    return describe(run.recipe) + (" (synthetic data)" if synthetic(run) else "")


def synthetic(run: "Run") -> bool:
    """Whether the data were generated."""
    return str(run.status["data"].get("source", "")).startswith("synthetic")


def _part(group: str, recipe: dict[str, Any], always: str = "") -> str:
    """An option's name and those of its numbers that are not the usual ones; `always` is said without its key."""
    part = recipe[group]
    if "phases" in part:
        return " then ".join(_phase(one, recipe["lr"]) for one in part["phases"])
    usual = options.parameters(group, part["name"])
    words = [part["name"], *([str(part[always])] if always in part else [])]
    for key, value in part.items():
        if key not in ("name", always) and usual.get(key) is not None and not _same(str(value), usual[key]):
            words.append(f"{key} {value}")
    return " ".join(words)


def _phase(one: dict[str, Any], lr: float) -> str:
    """`adam lr 0.001 until step 250`."""
    ends = [
        f"until {key.removeprefix('until_')} {value:g}"
        for key, value in one.items()
        if key.startswith("until_")
    ]
    return " ".join([one["optimizer"], f"lr {one.get('lr', lr):g}", *ends])


def _same(one: str, two: str) -> bool:
    try:
        return one.lower() == two.lower() or float(one) == float(two)
    except ValueError:
        return False


def ends(run: "Run") -> str:
    """A short table of the first and the last step: loss, scores, gradient, and the signal over depth."""
    from gradlab.analysis.score import score

    the = score(run.status["data"])
    rows = run.steps[(run.steps.source == "batch") & run.steps.train_loss.notna()]
    last = int(run.layers.layer.max()) - 1
    hidden = list(dict.fromkeys([1, last])) if last > 0 else []
    scores = {} if the.name == "loss" else {f"{part} {the.name}": f"{part}_{the.column}" for part in PARTS}
    table = [["step", "train loss", *scores, "‖gradient‖", *(f"backward {l}" for l in hidden)]]
    for step in sorted({int(rows.step.min()), int(rows.step.max())}) if len(rows) else []:
        here = rows[rows.step == step]
        layers = run.layers[(run.layers.source == "batch") & (run.layers.step == step)]
        words = [str(step), _mean(here.train_loss, "{:.3g}".format)]
        words += [_mean(the.factor * here[column], "{:.2f}".format) for column in scores.values()]
        words += [_mean(here.log10_gradient, power)]
        table.append(words + [_mean(layers[layers.layer == l].log10_backward, power) for l in hidden])
    return aligned(table)


def cost(status: dict[str, Any]) -> str:
    """Where it ran and what it took: `cpu, 1 thread, 6.1 s, of which 3.2 s compiling`."""
    threads = status["threads"]
    where = [status["device"], *([f"{threads} thread{'s' * (threads > 1)}"] if threads else [])]
    return ", ".join(
        [*where, f"{status['seconds']:.1f} s, of which {status['compile_seconds']:.1f} s compiling"]
    )


def _mean(column: Any, form: Callable[[float], str]) -> str:
    """The mean over seeds in words; one number that is not finite stands for all; "" is not measured."""
    values = [float(value) for value in column[column.notna()]]
    odd = [value for value in values if not math.isfinite(value)]
    return form(odd[0] if odd else math.fsum(values) / len(values)) if values else ""


def power(log10: float) -> str:
    """10 to this power, also far outside the range of floats: 0.05, 3.2e-127."""
    if math.isnan(log10) or log10 == math.inf:
        return str(log10)
    if log10 == -math.inf:
        return "0"
    if -3 <= log10 <= 4:
        return f"{10**log10:.3g}"
    tenths = round(10 ** (log10 - math.floor(log10)), 1)
    whole = math.floor(log10) + (tenths >= 10)
    return f"{tenths / 10 if tenths >= 10 else tenths:.1f}e{whole:+d}"


def aligned(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Rows of words as columns, the first to the left and the others to the right."""
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        indent
        + "  ".join(
            w.ljust(n) if i == 0 else w.rjust(n) for i, (w, n) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
