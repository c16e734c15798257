"""A run's verdicts in words: the signal at start and end, and the training; never one word for all.

"Vanishing at the start, later flowing, not learned" takes three verdicts to say; one word cannot.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from gradlab.analysis.gain import inner_gain
from gradlab.analysis.results import Diagnosis, TimeVerdict, TrainingVerdict
from gradlab.analysis.score import score_of
from gradlab.analysis.selection import minibatch_rows, rows_with
from gradlab.analysis.signal import SignalContext, signal_verdict
from gradlab.analysis.time_signal import time_verdicts
from gradlab.analysis.training import Baseline, training_verdict
from gradlab.recipe.errors import RecipeError, hint
from gradlab.store.read import Run

if TYPE_CHECKING:
    from gradlab.theory.mlp import Prediction

SIGNAL = ("flowing", "vanishing", "exploding", "cut", "underflow", "non-finite", "rank collapse", "undecided")
TRAINING = ("learned", "learning", "stalled", "diverged", "memorized", "untrained")
WORDS = (*SIGNAL, *TRAINING)


def diagnose(run: Run) -> Diagnosis:
    """All verdicts with the numbers that they rest on; None stands for what was not measured.

    Raises:
        RecipeError: the run ended before its data were read, or the backward signal was not measured.
    """
    data = run.status.get("data")
    if not isinstance(data, dict):
        raise RecipeError(f"{run.folder} has no verdict: it ended before its data were read; see its run.log")
    rows = rows_with(minibatch_rows(run.layers), "log10_backward")
    if rows.empty:
        raise RecipeError(
            f"{run.folder} did not measure the backward signal; run it with the probe 'backward'"
        )
    nonfinite = [dict(entry) for entry in run.status.get("nonfinite", [])]
    prediction = predicted(run)
    gain = None if prediction is None else inner_gain(prediction.log10_backward)
    unit = "layer" if run.recipe["residual"]["name"] == "none" else "block"
    cosine = float(data.get("cosine") or 0.0)
    first_step, last_rows = rows.step.min(), _last_rows(rows)
    return Diagnosis(
        run=run.name,
        state=run.status["state"],
        data=data.get("source"),
        signal_start=signal_verdict(rows[rows.step == first_step], SignalContext(unit, gain, cosine)),
        signal_end=signal_verdict(last_rows, SignalContext(unit, None, cosine), tuple(nonfinite)),
        training=_training(run, data, nonfinite),
        times_start=_over_time(run, first_step),
        times_end=_over_time(run, last_rows.step.max()),
        theory=_theory_sentence(run, prediction),
    )


def predicted(run: Run) -> "Prediction | None":
    """Theory's prediction at initialization, or None where no theory covers the run.

    Raises:
        RecipeError: the recipe is not that of the stored rows.
    """
    if run.recipe["model"]["name"] != "mlp" or not isinstance(run.status.get("data"), dict):
        return None
    from gradlab.theory.mlp import predict

    if (blocks := run.layers.layer.nunique() - 2) != run.recipe["depth"]:
        raise RecipeError(
            f"{run.folder}/recipe.yaml says depth {run.recipe['depth']}, and its rows have {blocks} blocks"
        )
    return predict(_recipe_seen_at_once(run), run.status["data"])


def missing_theory(run: Run) -> str | None:
    """Why theory predicts nothing for this run, in one sentence; None where it has a prediction."""
    name = run.recipe["model"]["name"]
    if name != "mlp":
        return f"no prediction: there is mean-field theory for model=mlp only, and this is model={name}"
    from gradlab.theory.mlp import unavailable

    if reason := unavailable(_recipe_seen_at_once(run)):
        return f"no prediction: {reason}"
    data = run.status["data"]
    return None if data["second_moment"] else "no prediction: the inputs of the training set are all zero"


def _recipe_seen_at_once(run: Run) -> dict[str, Any]:
    """The recipe whose batch size is the number of examples that are normalized together."""
    examples = (run.recipe["batch_size"] or run.status["data"]["train"]) // run.recipe["accumulate"]
    return {**run.recipe, "batch_size": max(examples, 1)}


def _theory_sentence(run: Run, prediction: "Prediction | None") -> str:
    return missing_theory(run) or (prediction.note if prediction else "")


def failed(diagnosis: Diagnosis, words: Iterable[str]) -> list[str]:
    """Which of `words` are among the verdicts, of any seed, at the start or the end (for `--fail-on`).

    Raises:
        RecipeError: one of `words` is not a verdict.
    """
    unwanted = list(words)
    for word in unwanted:
        if word not in WORDS:
            raise RecipeError(f"there is no verdict '{word}'{hint(word, WORDS)}")
    signals_and_training = (diagnosis.signal_start, diagnosis.signal_end, diagnosis.training)
    verdicts = {word for part in signals_and_training for word in part.words}
    verdicts |= {layer.verdict for layer in (*diagnosis.times_start, *diagnosis.times_end)}
    return [word for word in unwanted if word in verdicts]


def _over_time(run: Run, step: int) -> list[TimeVerdict]:
    """The verdicts over time of a recurrent network's layers at one training step."""
    rows = minibatch_rows(run.times)
    rows = rows[(rows.step == step).to_numpy()]
    return time_verdicts(rows) if len(rows) else []


def _last_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The last step of each seed: a seed that diverged has none after."""
    return rows[(rows.step == rows.groupby("seed").step.transform("max")).to_numpy()]


def _training(run: Run, data: dict[str, Any], nonfinite: list[dict[str, Any]]) -> TrainingVerdict:
    level = data["chance_loss"]
    if level is None:  # a surface has no chance loss: its first loss takes the place
        level = rows_with(minibatch_rows(run.steps), "train_loss").sort_values("step").train_loss.iloc[0]
    baseline = Baseline(float(level), score_of(data))
    clip = run.recipe["clip"]["name"] != "none"
    return training_verdict(run.steps, baseline, int(run.recipe["steps"]), nonfinite, clip)
