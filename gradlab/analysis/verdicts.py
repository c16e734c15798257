"""A run's verdicts in words: the signal at start and end, and the training; never one word for all.

"Vanishing at the start, recovered, not learned" is a truth that three verdicts can tell and one cannot.
"""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from gradlab.analysis import signal, times, training
from gradlab.analysis.gain import inner_gain
from gradlab.analysis.score import score
from gradlab.analysis.selection import batch, known
from gradlab.recipe.errors import RecipeError, hint
from gradlab.store.read import Run

SIGNAL = ("flowing", "vanishing", "exploding", "cut", "underflow", "non-finite", "rank collapse", "undecided")
TRAINING = ("learned", "learning", "stalled", "diverged", "memorized", "untrained")
WORDS = (*SIGNAL, *TRAINING)


def diagnose(run: Run) -> dict[str, Any]:
    """Both verdicts with the numbers they rest on, ready for JSON: null stands for what is not there."""
    data = run.status.get("data")
    if not isinstance(data, dict):
        raise RecipeError(f"{run.folder} has no verdict: it ended before its data were read; see its run.log")
    rows = known(batch(run.layers), "log10_backward")
    if rows.empty:
        raise RecipeError(
            f"{run.folder} did not measure the backward signal; run it with the probe 'backward'"
        )
    lost = [dict(entry) for entry in run.status.get("nonfinite", [])]
    theory = predicted(run)
    gain = None if theory is None else inner_gain(theory.log10_backward)
    unit = "layer" if run.recipe["residual"]["name"] == "none" else "block"
    place = signal.Place(unit, None, float(data.get("cosine") or 0.0))
    start = signal.Place(unit, gain, place.cosine)
    ended = _ends(rows)
    found = {
        "run": run.folder.resolve().name,
        "state": run.status["state"],
        "data": data.get("source"),
        "signal_start": signal.signal(rows[rows.step == rows.step.min()], start),
        "signal_end": signal.signal(ended, place, tuple(lost)),
        "training": _training(run, data, lost),
        "times_start": _times(run, rows.step.min()),
        "times_end": _times(run, ended.step.max()),
    }
    return _plain(found)


def predicted(run: Run) -> Any:
    """Theory's prediction at initialization, or None where no theory covers the run."""
    if run.recipe["model"]["name"] != "mlp" or not isinstance(run.status.get("data"), dict):
        return None
    from gradlab.theory.mlp import predict

    data = run.status["data"]
    examples = (run.recipe["batch_size"] or data["train"]) // run.recipe["accumulate"]  # seen at once
    return predict({**run.recipe, "batch_size": examples}, data)


def sentences(diagnosis: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, sentence): the signal at the start, at the end if a step was taken, and the training.

    A recurrent network's signal over time is told of its last layer.
    """
    start, end = diagnosis["signal_start"], diagnosis["signal_end"]
    told = [("signal", start["sentence"]), *_over_time(diagnosis["times_start"])]
    if end["step"] > start["step"]:
        told += [(f"at step {end['step']}", end["sentence"]), *_over_time(diagnosis["times_end"])]
    return [*told, ("training", diagnosis["training"]["sentence"])]


def _over_time(layers: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [("over time", layers[-1]["sentence"])] if layers else []


def failed(diagnosis: dict[str, Any], words: Iterable[str]) -> list[str]:
    """Which of `words` are among the verdicts, of any seed, at the start or the end (for `--fail-on`)."""
    wanted = list(words)
    for word in wanted:
        if word not in WORDS:
            raise RecipeError(f"there is no verdict '{word}'{hint(word, WORDS)}")
    said = {word for part in ("signal_start", "signal_end", "training") for word in diagnosis[part]["words"]}
    said |= {layer["verdict"] for part in ("times_start", "times_end") for layer in diagnosis[part]}
    return [word for word in wanted if word in said]


def _times(run: Run, step: int) -> list[dict[str, Any]]:
    """The verdicts over time of a recurrent network's layers at one step."""
    rows = batch(run.times)
    rows = rows[(rows.step == step).to_numpy()]
    return times.times(rows) if len(rows) else []


def _ends(rows: pd.DataFrame) -> pd.DataFrame:
    """The last step of each seed: a seed that diverged has none after."""
    return rows[(rows.step == rows.groupby("seed").step.transform("max")).to_numpy()]


def _training(run: Run, data: dict[str, Any], lost: list[dict[str, Any]]) -> dict[str, Any]:
    level = data["chance_loss"]
    if level is None:  # nobody guesses at a point on a surface: what there is to beat is the start
        level = known(batch(run.steps), "train_loss").sort_values("step").train_loss.iloc[0]
    chance = training.Chance(float(level), score(data))
    clip = run.recipe["clip"]["name"] != "none"
    return training.training(run.steps, chance, int(run.recipe["steps"]), lost, clip)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
