"""Early stopping: which seeds have trained long enough, judged at each evaluation."""

import math
from typing import Any

import numpy as np

from gradlab.recipe.recipe import Stop


class EarlyStopping:
    """`patience`: so many evaluations without a new lowest test loss; `loss`: a training loss that is low enough."""

    def __init__(self, stop: Stop, seeds: np.ndarray) -> None:
        self.stop = stop
        self.best = {int(seed): math.inf for seed in seeds}
        self.waited = {int(seed): 0 for seed in seeds}
        self.stopped: list[dict[str, Any]] = []  # one entry per seed, as status.json holds it

    def seeds(self) -> list[int]:
        """The seeds that have stopped."""
        return [entry["seed"] for entry in self.stopped]

    def update(self, step: int, train_loss: np.ndarray, test_loss: np.ndarray, live: list[int]) -> None:
        """Judge every `live` seed by an evaluation at θ_step; the losses are (seeds,)."""
        for seed, train, test in zip(self.best, train_loss, test_loss, strict=True):
            better = test < self.best[seed]  # False for NaN
            self.best[seed] = float(test) if better else self.best[seed]
            self.waited[seed] = 0 if better else self.waited[seed] + 1
            why = ""
            if 0 < self.stop.patience <= self.waited[seed]:
                why = f"no new lowest test loss in {self.stop.patience} evaluations"
            elif train <= self.stop.loss and self.stop.loss > 0:
                why = f"training loss at most {self.stop.loss:g}"
            if why and seed in live and seed not in self.seeds():
                self.stopped.append({"seed": seed, "step": step, "why": why})

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"ended": self.stopped, "best": [*self.best.values()], "waited": [*self.waited.values()]}

    def restore(self, notes: dict[str, Any]) -> None:
        """Sets it to what it was at a checkpoint."""
        self.stopped = notes["ended"]
        self.best = dict(zip(self.best, notes["best"], strict=True))
        self.waited = dict(zip(self.waited, notes["waited"], strict=True))

    def message(self) -> str:
        """One line for all seeds that stopped early."""
        return "; ".join(
            f"seed {entry['seed']} stopped at step {entry['step']}: {entry['why']}" for entry in self.stopped
        )
