"""Early stopping: which seeds have trained long enough, judged at each evaluation."""

import math
from typing import Any

import numpy as np

from gradlab.recipe import Stop


class Stopping:
    """`patience`: so many evaluations without a new least test loss; `loss`: a training loss that is low enough."""

    def __init__(self, stop: Stop, seeds: np.ndarray) -> None:
        self.stop = stop
        self.best = {int(seed): math.inf for seed in seeds}
        self.waited = {int(seed): 0 for seed in seeds}
        self.ended: list[dict[str, Any]] = []  # one entry a seed, as status.json tells it

    def seeds(self) -> list[int]:
        """Those that have ended."""
        return [one["seed"] for one in self.ended]

    def look(self, step: int, train_loss: np.ndarray, test_loss: np.ndarray, live: list[int]) -> None:
        """Judge every seed that is alive by an evaluation at θ_step."""
        for seed, train, test in zip(self.best, train_loss, test_loss, strict=True):
            better = test < self.best[seed]  # False for NaN
            self.best[seed] = float(test) if better else self.best[seed]
            self.waited[seed] = 0 if better else self.waited[seed] + 1
            why = ""
            if 0 < self.stop.patience <= self.waited[seed]:
                why = f"no new least test loss in {self.stop.patience} evaluations"
            elif train <= self.stop.loss and self.stop.loss > 0:
                why = f"training loss at most {self.stop.loss:g}"
            if why and seed in live and seed not in self.seeds():
                self.ended.append({"seed": seed, "step": step, "why": why})

    def notes(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"ended": self.ended, "best": [*self.best.values()], "waited": [*self.waited.values()]}

    def restore(self, notes: dict[str, Any]) -> None:
        """As it was at a checkpoint."""
        self.ended = notes["ended"]
        self.best = dict(zip(self.best, notes["best"], strict=True))
        self.waited = dict(zip(self.waited, notes["waited"], strict=True))

    def sentence(self) -> str:
        """One line for all seeds that ended early."""
        return "; ".join(
            f"seed {one['seed']} stopped at step {one['step']}: {one['why']}" for one in self.ended
        )
