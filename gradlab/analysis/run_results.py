"""What one run came to, as one row of numbers and words: verdicts, last losses and scores, the way to a target loss."""

from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from gradlab.analysis.arrays import Rows
from gradlab.analysis.results import SignalVerdict
from gradlab.analysis.score import score_of
from gradlab.analysis.verdict_run import step_rows
from gradlab.analysis.verdicts import RunVerdicts, verdicts_of
from gradlab.store.read import Run


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """The results of one run; None was not measured or does not exist for it.

    Numbers are means over the seeds in which they are finite, those of `_sd` standard deviations (n − 1) over them.
    A training loss that is finite in no seed is NaN or infinite. Decades are powers of ten from the last hidden layer
    back to the first; gains are factors per layer, over time per time step of the last recurrent layer.
    """

    seeds: int | None = None
    diverged: int | None = None  # of the seeds
    training: str | None = None
    train_loss: float | None = None
    train_loss_sd: float | None = None
    train_score: float | None = None
    train_score_sd: float | None = None
    test_score: float | None = None
    test_score_sd: float | None = None
    gap: float | None = None  # training less test score
    gap_sd: float | None = None
    target: float | None = None  # the training loss that *learned* demands, if no other was given
    reached: int | None = None  # how many seeds have an evaluated training loss of at most the target
    steps_to_target: float | None = None  # means over these
    seconds_to_target: float | None = None
    signal_start: str | None = None
    gain_start: float | None = None
    decades_start: float | None = None
    signal_end: str | None = None
    gain_end: float | None = None
    decades_end: float | None = None
    time_start: str | None = None
    time_gain_start: float | None = None
    time_end: str | None = None
    clip_share: float | None = None  # the fraction of steps on which the clip acted


# each field with the type of its values
RESULT_TYPES: dict[str, type] = {
    name: next(word for word in hint.__args__ if word is not type(None))
    for name, hint in get_type_hints(RunResults).items()
}


def run_results(run: Run, target: float | None = None) -> RunResults:
    """The results of a run; those of the signal are None where the backward signal was not measured.

    Raises:
        RecipeError: a table is missing or damaged.
        UnfinishedError: the run ended before its data were read.
    """
    verdicts = verdicts_of(run)
    training = verdicts.training
    if run.is_foreign:
        return _foreign_results(verdicts)
    if target is None:
        assert training.chance_loss is not None
        target = score_of(run.status["data"]).learned_loss * training.chance_loss
    evaluated = _evaluated(run)
    return RunResults(
        seeds=training.seeds,
        diverged=training.diverged,
        training=training.verdict,
        clip_share=training.clip_share,
        **_last_evaluation(run, evaluated),
        **_way(run, target, evaluated),
        **_signal_results(verdicts),
    )


def _foreign_results(verdicts: RunVerdicts) -> RunResults:
    """Those of a run that gradlab has not trained: no loss of a whole training set, and no target."""
    training = verdicts.training
    return RunResults(
        seeds=training.seeds,
        diverged=training.diverged,
        training=training.verdict,
        clip_share=training.clip_share,
        test_score=training.test_score,
        **_signal_results(verdicts),
    )


def way_to_target(run: Run, target: float) -> dict[str, Any]:
    """After how many steps, and seconds, an evaluated training loss is at most the target: means over `reached` seeds.

    The seconds are those of the whole run without its compilation, in proportion to the steps: an estimate.
    """
    return {} if run.is_foreign else _way(run, target, _evaluated(run))


def _evaluated(run: Run) -> Rows:
    """The rows of steps with an evaluation, in the order of the steps."""
    return step_rows(run).of_minibatches().having("train_loss").sorted_by("step")


def _way(run: Run, target: float, evaluated: Rows) -> dict[str, Any]:
    below = evaluated.take(evaluated["train_loss"] <= target)
    _, first = np.unique(below["seed"], return_index=True)
    reached = below["step"][first]
    steps = float(reached.mean()) if len(reached) else None
    done = run.status.get("steps_done") or 0
    pace = (run.status["seconds"] - run.status["compile_seconds"]) / done if done else None
    return {
        "target": target,
        "reached": len(reached),
        "steps_to_target": steps,
        "seconds_to_target": None if steps is None or pace is None else steps * max(pace, 0.0),
    }


def _signal_results(verdicts: RunVerdicts) -> dict[str, Any]:
    # over time: the verdicts of the last recurrent layer
    time_start, time_end = (
        layers[-1] if layers else None for layers in (verdicts.times_start, verdicts.times_end)
    )
    return {
        **_signal_result(verdicts.signal_start, "start"),
        **_signal_result(verdicts.signal_end, "end"),
        "time_start": time_start and time_start.verdict,
        "time_gain_start": time_start and time_start.gain,
        "time_end": time_end and time_end.verdict,
    }


def _signal_result(signal: SignalVerdict | None, at: str) -> dict[str, Any]:
    if signal is None:
        return {}
    return {f"signal_{at}": signal.verdict, f"gain_{at}": signal.gain, f"decades_{at}": signal.decades}


def _last_evaluation(run: Run, evaluated: Rows) -> dict[str, Any]:
    """Mean and standard deviation over seeds of the last loss and scores, and of the gap: training less test score."""
    score = score_of(run.status["data"])
    _, from_end = np.unique(evaluated["seed"][::-1], return_index=True)
    last = evaluated.take(np.sort(len(evaluated) - 1 - from_end))
    losses = last["train_loss"]
    train, test = (score.array(last, part) for part in ("train", "test"))
    if score.name == "loss":  # a surface: there is no score beside the loss
        train, test = np.full_like(train, np.nan), np.full_like(test, np.nan)
    per_seed = {"train_loss": losses, "train_score": train, "test_score": test, "gap": train - test}
    results: dict[str, float | None] = {}
    for name, values in per_seed.items():
        results |= _mean_and_deviation(name, values)
    if losses.size and results["train_loss"] is None:  # it was measured, as that of every evaluation
        results["train_loss"] = float(losses[0])
    return results


def _mean_and_deviation(name: str, values: NDArray[np.float64]) -> dict[str, float | None]:
    """Over the finite ones of the values, (seeds,)."""
    finite = values[np.isfinite(values)]
    return {
        name: float(finite.mean()) if finite.size else None,
        f"{name}_sd": float(finite.std(ddof=1)) if finite.size > 1 else None,
    }
