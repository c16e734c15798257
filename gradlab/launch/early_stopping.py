"""Early stopping: which seeds have trained long enough, judged at each evaluation and at each dropped update."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradlab.recipe.recipe import Stop

BLOWN_UP = 2.0  # times the larger of first and chance loss: diverged, as in `analysis/training.py`


class Evaluation(NamedTuple):
    """What is known of each seed at θ_step; each array is (seeds,), the signal (seeds, layers) or None."""

    step: int
    train_loss: np.ndarray
    test_loss: np.ndarray
    log10_backward: np.ndarray | None = None


class EarlyStopping:
    """Ends a seed by one of the rules of `stop`, or after `clip_patience` updates in a row that its clip dropped.

    `patience`: so many evaluations without a new lowest test loss; `loss`: a training loss that is low enough;
    `tolerance`: one that changes by at most this fraction of it from one evaluation to the next; `on`: a verdict.
    """

    def __init__(
        self,
        stop: Stop,
        seeds: np.ndarray,
        clip_patience: int = 0,
        chance_loss: float | None = None,
        layer_names: Sequence[str] = (),
        log_every: int = 1,
    ) -> None:
        self.stop = stop
        self.clip_patience = clip_patience
        self.layer_names = layer_names
        self.updates = "updates" if log_every == 1 else "recorded updates"
        self.chance_loss = -math.inf if chance_loss is None else chance_loss
        numbers = [int(seed) for seed in seeds]
        self.best = dict.fromkeys(numbers, math.inf)
        self.waited = dict.fromkeys(numbers, 0)
        self.dropped = dict.fromkeys(numbers, 0)  # updates in a row, up to now
        self.first = dict.fromkeys(numbers, math.nan)  # training losses: the first and the last one evaluated
        self.last = dict.fromkeys(numbers, math.nan)
        self.stopped: list[dict[str, Any]] = []  # one entry per seed, as status.json holds it

    def seeds(self) -> list[int]:
        """The seeds that have stopped."""
        return [entry["seed"] for entry in self.stopped]

    def judge(self, evaluation: Evaluation, live: list[int]) -> None:
        """Judge every `live` seed by an evaluation."""
        for index, seed in enumerate(self.best):
            train, test = float(evaluation.train_loss[index]), float(evaluation.test_loss[index])
            better = test < self.best[seed]  # False for NaN
            self.best[seed] = test if better else self.best[seed]
            self.waited[seed] = 0 if better else self.waited[seed] + 1
            if math.isnan(self.first[seed]):
                self.first[seed] = train
            profile = None if evaluation.log10_backward is None else evaluation.log10_backward[index]
            if why := self._reason(seed, train, profile):
                self._end(seed, evaluation.step, why, live)
            self.last[seed] = train

    def _reason(self, seed: int, train: float, profile: np.ndarray | None) -> str:
        """Why a seed has trained long enough, "" if it has not."""
        stop, last = self.stop, self.last[seed]
        if 0 < stop.patience <= self.waited[seed]:
            return f"no new lowest test loss in {stop.patience} evaluations"
        if train <= stop.loss and stop.loss > 0:
            return f"training loss at most {stop.loss:g}"
        if math.isfinite(last) and abs(train - last) <= stop.tolerance * abs(last) and stop.tolerance > 0:
            return f"training loss changed by a fraction of at most {stop.tolerance:g}, from {last:.4g} to {train:.4g}"
        if "diverged" in stop.on and train > BLOWN_UP * max(self.first[seed], self.chance_loss):
            return f"diverged: training loss {train:.4g}"
        signal = {"vanishing", "exploding"} & {*stop.on}
        return _signal_reason(profile, self.layer_names, signal) if signal and profile is not None else ""

    def count_dropped(self, steps: np.ndarray, dropped: np.ndarray, live: list[int]) -> None:
        """Count the recorded updates that the clip dropped in a row; `dropped` is (seeds, steps)."""
        for seed, flags in zip(self.best, dropped, strict=True):
            for step, flag in zip(steps, flags, strict=True):
                self.dropped[seed] = self.dropped[seed] + 1 if flag else 0
                if 0 < self.clip_patience <= self.dropped[seed]:
                    why = f"the clip dropped {self.clip_patience} {self.updates} in a row"
                    self._end(seed, int(step), why, live)
                    break

    def _end(self, seed: int, step: int, why: str, live: list[int]) -> None:
        if seed in live and seed not in self.seeds():
            self.stopped.append({"seed": seed, "step": step, "why": why})

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        lists = {name: [*getattr(self, name).values()] for name in _BY_SEED}
        return {"ended": self.stopped, **lists}

    def restore(self, notes: dict[str, Any]) -> None:
        """Sets it to what it was at a checkpoint."""
        self.stopped = notes["ended"]
        for name in _BY_SEED:
            before = getattr(self, name)
            setattr(self, name, dict(zip(before, notes.get(name, before.values()), strict=True)))

    def message(self) -> str:
        """One line for all seeds that stopped early."""
        return "; ".join(
            f"seed {entry['seed']} stopped at step {entry['step']}: {entry['why']}" for entry in self.stopped
        )


_BY_SEED = ("best", "waited", "dropped", "first", "last")


def _signal_reason(log10_backward: np.ndarray, names: Sequence[str], words: set[str]) -> str:
    """The verdict on the backward signal of named layers, if it is one of `words`, with its decades; else "".

    The rule is that of `analysis/signal.py` for one seed.
    """
    import pandas as pd  # late: most runs need no verdict while they train

    from gradlab.analysis.gain import VERDICT_DECADES, backward_gain
    from gradlab.analysis.wording import signed_decades

    profile = {"seed": 0, "layer": range(len(names)), "name": names, "log10_backward": log10_backward}
    gain = backward_gain(pd.DataFrame(profile))
    if gain.decades is None:
        return ""
    low, high = gain.decades_interval or (gain.decades, gain.decades)
    word = "exploding" if low > VERDICT_DECADES else "vanishing" if high < -VERDICT_DECADES else ""
    place = f"{signed_decades(gain.decades)} decades from layer {gain.layers} back to layer 1"
    return f"{word}: {place}" if word in words else ""
