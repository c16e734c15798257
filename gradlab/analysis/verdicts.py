"""A run's verdicts in words: the signal at start and end, and the training; never one word for all.

"Vanishing at the start, later flowing, not learned" takes three verdicts to say; one word cannot.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from gradlab.analysis import clip_limits, curvature, findings, foreign, noise
from gradlab.analysis.arrays import Rows
from gradlab.analysis.gain import Sizes, inner_gain
from gradlab.analysis.precision import flushed_by_float16
from gradlab.analysis.results import (
    Diagnosis,
    Finding,
    ForeignDiagnosis,
    SignalVerdict,
    TimeVerdict,
    TrainingVerdict,
)
from gradlab.analysis.score import score_of
from gradlab.analysis.selection import is_measured, minibatch_rows, rows_of, rows_with, to_float64
from gradlab.analysis.signal import SignalContext, signal_verdict
from gradlab.analysis.time_signal import time_verdicts
from gradlab.analysis.training import Baseline, TrainingContext, training_verdict
from gradlab.analysis.verdict_run import layer_rows, step_rows
from gradlab.analysis.words import require_words
from gradlab.recipe.errors import RecipeError, UnfinishedError, described
from gradlab.store.read import Run

if TYPE_CHECKING:
    from gradlab.theory.mlp import Prediction

LARGE = {"float64": 100.0}  # log10 of numbers whose squares and cubes may leave the format; 12 in float32
# keys on which no prediction depends
AFTER_THE_START = ("lr", "seed", "seeds", "steps", "study", "outputs", "device", "quiet", "force")
MOST_PREDICTIONS = 16  # of a depth of 100 000, one takes 5 MB
RANDOM_OPTIMIZERS = ("es", "random_search", "spsa")  # they estimate the gradient anew at each step


class RunVerdicts(NamedTuple):
    """The verdicts of one run without theory, causes or words beside them; no signal where it was not measured."""

    signal_start: SignalVerdict | None
    signal_end: SignalVerdict | None
    training: TrainingVerdict
    times_start: list[TimeVerdict]
    times_end: list[TimeVerdict]


def diagnose(run: Run) -> Diagnosis:
    """All verdicts with the numbers that they rest on; None stands for what was not measured.

    Raises:
        RecipeError: the backward signal was not measured.
        UnfinishedError: the run ended before its data were read.
    """
    if run.is_foreign:
        return _foreign_diagnosis(run)
    _require_data(run)
    if not (is_measured(run.layers.log10_backward) & (run.layers.source == "batch").to_numpy()).any():
        raise RecipeError(
            f"{run.folder} did not measure the backward signal; run it with the probe 'backward'"
        )
    prediction = predicted(run)
    gain = None if prediction is None else inner_gain(prediction.log10_backward)
    verdicts = verdicts_of(run, gain)
    start, end, training = verdicts.signal_start, verdicts.signal_end, verdicts.training
    assert start is not None
    assert end is not None
    return Diagnosis(
        run=run.name,
        state=run.status["state"],
        data=run.status["data"].get("source"),
        signal_start=start,
        signal_end=end,
        training=training,
        times_start=verdicts.times_start,
        times_end=verdicts.times_end,
        theory=_theory_sentence(run, prediction),
        findings=_findings(run, start, end, training),
    )


def verdicts_of(run: Run, theory: float | None = None) -> RunVerdicts:
    """The verdicts of a run, those of the signal beside the gain per layer that theory predicts.

    Raises:
        UnfinishedError: the run ended before its data were read.
    """
    data = _require_data(run)
    nonfinite = tuple(dict(entry) for entry in run.status.get("nonfinite", []))
    rows = _backward_rows(run)
    training = foreign.training_verdict(run, nonfinite) if data is None else _training(run, data, nonfinite)
    if not len(rows):
        return RunVerdicts(None, None, training, [], [])
    context = foreign.signal_context(run) if data is None else _signal_context(run, data)
    first_rows = rows.take(rows["step"] == rows["step"].min())
    last_rows = _last_rows(_without_dropped(run, rows), nonfinite)
    if run.is_foreign:
        # its log may leave out layers, and a step of a gradient norm alone says nothing of a signal
        first_rows, last_rows = foreign.renumbered(first_rows), foreign.renumbered(last_rows)
        nonfinite = tuple(entry for entry in nonfinite if entry["where"] != foreign.GRADIENT)
    learned = training.verdict == "learned"
    return RunVerdicts(
        signal_start=signal_verdict(first_rows, replace(context, theory=theory)),
        signal_end=signal_verdict(last_rows, replace(context, learned=learned), nonfinite),
        training=training,
        times_start=_over_time(run, first_rows["step"].min()),
        times_end=_over_time(run, last_rows["step"].max()),
    )


def _backward_rows(run: Run) -> Rows:
    """The rows of the minibatches in which the backward signal was measured."""
    return layer_rows(run).of_minibatches().having("log10_backward")


def _foreign_diagnosis(run: Run) -> ForeignDiagnosis:
    """What can be said of a run that gradlab has not trained: less, and what is not known in words."""
    verdicts = verdicts_of(run)
    start, end, training = verdicts.signal_start, verdicts.signal_end, verdicts.training
    weights = foreign.weight_verdicts(layer_rows(run)) if start is None else []
    ends = zip(weights, ("start", "end"), strict=False)
    of_weights = [finding for verdict, at in ends for finding in foreign.weight_findings(verdict, at)]
    words = _findings(run, start, end, training) if start and end else findings.of_training(training)
    return ForeignDiagnosis(
        run=run.name,
        state=run.status["state"],
        data=None,
        signal_start=start,
        signal_end=end,
        training=training,
        times_start=[],
        times_end=[],
        theory=_theory_sentence(run, None),
        findings=[*of_weights, *words],
        not_recorded=foreign.not_recorded(layer_rows(run)) if start is None else "",
        weights_start=weights[0] if weights else None,
        weights_end=weights[-1] if weights else None,
        notes=foreign.notes(run, start, end),
    )


def _require_data(run: Run) -> dict[str, Any] | None:
    """What status.json says of the data; None of a foreign run, whose data are not known."""
    if run.is_foreign:
        return None
    data = run.status.get("data")
    if not isinstance(data, dict):
        ended = "it ended before its data were read; see its run.log"
        raise UnfinishedError(f"{run.folder} has no verdict ({run.status['state']}): {ended}")
    return data


def _findings(run: Run, start: SignalVerdict, end: SignalVerdict, training: TrainingVerdict) -> list[Finding]:
    """Every word that holds, the causes last."""
    recipe = run.recipe
    optimizer = recipe.get("optimizer", {}).get("name", "")  # of a foreign run it may not be known
    context = findings.CauseContext(
        optimizer, recipe.get("clip", clip_limits.UNKNOWN), recipe.get("dtype", "")
    )
    at_end = findings.of_signal(end, "end") if end.step > start.step else []
    layers = rows_of(run.layers, findings.CAUSE_COLUMNS).of_minibatches()
    return [
        *findings.of_signal(start, "start"),
        *at_end,
        *findings.of_training(training),
        *findings.causes(layers, context, start, end, training),
        *flushed_by_float16(run),
        *curvature.at_the_edge(run),
        *noise.dominating(run),
    ]


def _signal_context(run: Run, data: dict[str, Any]) -> SignalContext:
    """What the run's recipe and data say of its signal."""
    unit = "layer" if run.recipe["residual"]["name"] == "none" else "block"
    moment = float(data.get("second_moment") or 1.0)
    rank = data.get("effective_rank")
    if (
        rank is not None
    ):  # of as many examples as are measured together: 1/rank of a batch is 1/examples larger
        rank = 1 / (1 / max(rank, 1.0) + 1 / _examples_seen_at_once(run))
    sizes = Sizes(inputs=math.log10(moment) / 2, large=LARGE.get(run.recipe["dtype"], Sizes.large))
    return SignalContext(unit, None, rank, sizes=sizes)


def predicted(run: Run) -> "Prediction | None":
    """Theory's prediction at initialization, or None where no theory that measured networks confirm covers the run.

    Raises:
        RecipeError: the recipe is not that of the stored rows.
    """
    if run.is_foreign or run.recipe["model"]["name"] != "mlp" or not isinstance(run.status.get("data"), dict):
        return None
    from gradlab.theory.coverage import unconfirmed

    if unconfirmed(run.recipe):
        return None
    if (blocks := run.layers.layer.nunique() - 2) != run.recipe["depth"]:
        raise RecipeError(
            f"{run.folder}/recipe.yaml says depth {run.recipe['depth']}, and its rows have {blocks} blocks"
        )
    prediction = _prediction(run)
    return None if prediction is None or prediction.is_rough else prediction


def missing_theory(run: Run) -> str | None:
    """Why theory predicts nothing for this run, in one sentence; None where it has a prediction."""
    if run.is_foreign:
        return "no prediction: the network is not known, only what was recorded of it"
    name = run.recipe["model"]["name"]
    if name != "mlp":
        return f"no prediction: there is mean-field theory for model=mlp only, and this is model={name}"
    from gradlab.theory.coverage import unconfirmed
    from gradlab.theory.mlp import unavailable

    if reason := unavailable(_recipe_seen_at_once(run)) or unconfirmed(run.recipe):
        return f"no prediction: {reason}"
    data = run.status["data"]
    if not data["second_moment"]:
        return "no prediction: the inputs of the training set are all zero"
    if (prediction := _prediction(run)) and prediction.is_rough:
        act = run.recipe["activation"]["name"]
        return f"no prediction: width {run.recipe['width']} is too small for mean-field theory with activation={act}"
    return None


def _prediction(run: Run) -> "Prediction | None":
    """Theory's prediction, also where it is not shown; runs that differ only in what follows the start share it.

    Raises:
        RecipeError: the stored recipe lacks what theory needs.
    """
    recipe = {key: value for key, value in _recipe_seen_at_once(run).items() if key not in AFTER_THE_START}
    try:
        return _kept_prediction(json.dumps([recipe, run.status["data"]]))
    except (
        KeyError,
        TypeError,
    ) as error:  # a part without its numbers, or with others than those of its option
        reason = described(error)
        raise RecipeError(
            f"{run.folder}/recipe.yaml is not a whole recipe ({reason}); run it again with --force"
        ) from error


@lru_cache(MOST_PREDICTIONS)
def _kept_prediction(recipe_and_data: str) -> "Prediction | None":
    from gradlab.theory.mlp import predict

    return predict(*json.loads(recipe_and_data))


def _recipe_seen_at_once(run: Run) -> dict[str, Any]:
    """The recipe whose batch size is the number of examples that are normalized together."""
    return {**run.recipe, "batch_size": _examples_seen_at_once(run)}


def _examples_seen_at_once(run: Run) -> int:
    """Of a micro-batch: what is normalized and measured together."""
    examples = (run.recipe["batch_size"] or run.status["data"]["train"]) // run.recipe["accumulate"]
    return max(int(examples), 1)


def _theory_sentence(run: Run, prediction: "Prediction | None") -> str:
    return missing_theory(run) or (prediction.note if prediction else "")


def failed(diagnosis: Diagnosis, words: Iterable[str]) -> list[str]:
    """Which of `words` are among the verdicts, of any seed, at the start or the end (for `--fail-on`).

    Raises:
        RecipeError: one of `words` is not a verdict.
    """
    unwanted = list(words)
    require_words(unwanted)
    verdicts = {finding.word for finding in diagnosis.findings}
    verdicts |= {layer.verdict for layer in (*diagnosis.times_start, *diagnosis.times_end)}
    return [word for word in unwanted if word in verdicts]


def _over_time(run: Run, step: int) -> list[TimeVerdict]:
    """The verdicts over time of a recurrent network's layers at one training step."""
    if run.is_foreign or run.times.empty:
        return []
    rows = minibatch_rows(run.times)
    rows = rows[(rows.step == step).to_numpy()]
    return time_verdicts(rows) if len(rows) else []


def _without_dropped(run: Run, rows: Rows) -> Rows:
    """The rows of layers without the steps that the clip or loss scaling dropped, of a seed that has others."""
    if run.is_foreign or "clipped" not in step_rows(run):
        return rows
    steps = step_rows(run).of_minibatches()
    dropped = steps.take(clip_limits.dropped(steps, run.recipe["clip"]))
    if not len(dropped):
        return rows
    index = pd.MultiIndex.from_arrays([rows["seed"], rows["step"]])
    used = ~index.isin(pd.MultiIndex.from_arrays([dropped["seed"], dropped["step"]]))
    only_dropped = ~pd.Series(used).groupby(rows["seed"]).transform("any").to_numpy()
    return rows.take(used | only_dropped)


def _last_rows(rows: Rows, nonfinite: Iterable[dict[str, Any]]) -> Rows:
    """The last step of each seed; of one that became non-finite, that step: what follows is NaN, or nothing."""
    seeds, index = np.unique(rows["seed"], return_inverse=True)
    last_of_seed = np.zeros(len(seeds), np.int64)
    np.maximum.at(last_of_seed, index, rows["step"])
    last = last_of_seed[index]
    for entry in nonfinite:
        of_seed = rows["seed"] == entry["seed"]
        if (of_seed & (rows["step"] == entry["step"])).any():
            last[of_seed] = entry["step"]
    return rows.take(rows["step"] == last)


def _training(run: Run, data: dict[str, Any], nonfinite: tuple[dict[str, Any], ...]) -> TrainingVerdict:
    level = data["chance_loss"]
    if level is None:  # a surface has no chance loss: its first loss takes the place
        level = step_rows(run).of_minibatches().having("train_loss").sorted_by("step")["train_loss"][0]
    same_batch = _has_same_batch(run.recipe, data)
    context = TrainingContext(
        baseline=Baseline(float(level), score_of(data)),
        total_steps=int(run.recipe["steps"]),
        clip=run.recipe["clip"],
        nonfinite=nonfinite,
        stopped={entry["seed"]: entry["why"] for entry in run.status.get("stopped", [])},
        same_batch=same_batch,
        update_norms=_update_norms(run) if same_batch else None,
    )
    return training_verdict(step_rows(run), context)


def _has_same_batch(recipe: dict[str, Any], data: dict[str, Any]) -> bool:
    """Whether each step has the same gradient function: all training examples at once, and nothing random."""
    whole = recipe["batch_size"] == 0 or recipe["batch_size"] >= data["train"]
    random = recipe["dropout"] > 0 or recipe["residual"]["name"] == "stochastic_depth"
    return whole and not random and recipe["optimizer"]["name"] not in RANDOM_OPTIMIZERS


def _update_norms(run: Run) -> pd.Series | None:
    """log10 of ‖Δθ‖ over all parameters, by seed and step; None where it was not measured."""
    rows = minibatch_rows(run.parameters)
    if "log10_update" not in rows or (rows := rows_with(rows, "log10_update")).empty:
        return None
    with np.errstate(over="ignore", divide="ignore"):
        squares = pd.Series(100.0 ** to_float64(rows.log10_update))
        sums = squares.groupby([rows.seed.to_numpy(), rows.step.to_numpy()]).sum()
        return sums.map(np.log10) / 2
