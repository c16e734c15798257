"""What is known of a run while it is written: numbers, profiles and verdicts so far, each row read once."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradlab.analysis.arrays import Rows
from gradlab.analysis.growing_run import GrowingRun, followed_columns, growing
from gradlab.analysis.score import score_of
from gradlab.analysis.selection import defined_backward, pivot, rows_from_arrow
from gradlab.analysis.verdicts import RunVerdicts, verdicts_of
from gradlab.measurements.columns import RESULTS
from gradlab.recipe.errors import RecipeError
from gradlab.report.watch.braille import Profile
from gradlab.report.watch.heat_map import History
from gradlab.store.follow import Follower, NewRows

PROFILES = {"backward": "log10_backward", "forward": "log10_forward", "gradient": "log10_gradient"}
OVER = (*RESULTS, "failed", "interrupted", "killed")  # states of a run that writes no more


@dataclass(frozen=True)
class Seen:
    """A run as it was when its status was written last; `run` has the rows that its verdicts are about.

    steps: rows of its mini-batches at all steps; seed: the first of `seeds` seeds, of which `profiles`, by their names,
    and `history` are; profile_step: the step of the profiles.
    """

    run: GrowingRun
    steps: Rows
    seed: int
    seeds: int
    profiles: dict[str, Profile]
    profile_step: int
    history: History
    written_at: float

    @property
    def state(self) -> str:
        """That of status.json, or killed."""
        return str(self.run.status["state"])

    @property
    def is_over(self) -> bool:
        """Whether it writes no more."""
        return self.state in OVER

    @property
    def done(self) -> int:
        """The steps that it has made, as far as they are stored."""
        return int(self.run.status.get("steps_done", 0))

    @property
    def total(self) -> int | None:
        """The steps that it is to make; None where that is not known, as of a foreign run."""
        steps = self.run.recipe.get("steps")
        return None if steps is None else int(steps)

    @property
    def is_compiling(self) -> bool:
        """Whether no program is there yet to make a step with."""
        return not (self.is_over or self.done or "compile_seconds" in self.run.status or self.run.is_foreign)

    def seconds(self, now: float) -> float | None:
        """How long it has been running, over all its processes; `now` in seconds of the system's clock."""
        seconds = self.run.status.get("seconds")
        if seconds is None or self.is_over:
            return seconds
        return float(seconds) + max(now - self.written_at, 0.0)

    def seconds_left(self, now: float) -> float | None:
        """From the mean pace of its steps so far; None as long as there is none."""
        spent = (self.run.status.get("seconds") or 0.0) - (self.run.status.get("compile_seconds") or 0.0)
        if self.is_over or not self.done or self.total is None or spent <= 0:
            return None
        left = spent / self.done * (self.total - self.done) - max(now - self.written_at, 0.0)
        return max(left, 0.0)

    @cached_property
    def verdicts(self) -> RunVerdicts | None:
        """The verdicts on the rows so far; None where there are none yet, or it ended before its data were read."""
        if not len(self.steps):
            return None
        try:
            return verdicts_of(self.run)
        except RecipeError:
            return None

    def last(self, column: str) -> tuple[float, int] | None:
        """The mean of a column over seeds at the last row of each that has it, and in how many seeds it is not finite.

        None where it was not measured.
        """
        if column not in self.steps:
            return None
        rows = self.steps.having(column)
        _, from_end = np.unique(rows["seed"][::-1], return_index=True)
        values = rows[column][::-1][from_end]
        if not values.size:
            return None
        finite = values[np.isfinite(values)]
        mean = math.fsum(finite) / len(finite) if finite.size else float(values[0])
        return mean, len(values) - len(finite)

    def scores(self) -> tuple[str, dict[str, float]]:
        """The name of the score, and its last value on the training and test set by `train` and `test`."""
        score = score_of(self.run.status.get("data"))
        values = {part: self.last(f"{part}_{score.column}") for part in ("train", "test")}
        if score.name == "loss":
            return score.label, {}
        return score.label, {part: found[0] * score.factor for part, found in values.items() if found}


@dataclass
class FollowedRun:
    """Follows the run of a folder: `seen` is None until it has begun."""

    folder: Path
    seen: Seen | None = None
    _rows: dict[str, pa.Table] = field(default_factory=dict)
    _history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self._follower = Follower(self.folder, followed_columns)

    def look(self) -> bool:
        """Read what is new; whether anything is.

        Raises:
            RecipeError: there is no run yet, or it cannot be read.
        """
        found = self._follower.look()
        if found is None:
            return False
        if found.begins_again:
            self._rows, self._history = {}, History()
        run = self._take(found)
        self.seen = self._see(run, found)
        return True

    def _take(self, found: NewRows) -> GrowingRun:
        """The run with its rows so far: of layers only those that a verdict may be about are kept."""
        run = growing(found.run, {})
        for table, new in found.rows.items():
            before = self._rows.get(table)
            rows = new if before is None else pa.concat_tables([before, new], promote_options="default")
            self._rows[table] = rows.unify_dictionaries().combine_chunks()
        if "layers" in found.rows:
            self._rows["layers"] = run.of_verdicts(self._rows["layers"])
        return growing(found.run, dict(self._rows))

    def _see(self, run: GrowingRun, found: NewRows) -> Seen:
        steps = run.step_rows.of_minibatches() if "steps" in self._rows else Rows({"seed": np.empty(0)}, {})
        seeds = np.unique(steps["seed"])
        seed = int(seeds[0]) if len(seeds) else 0
        if "layers" in found.rows:
            self._history.add(*_profiles_over_steps(found.rows["layers"], seed))
        step, profiles = _newest_profiles(self._rows["layers"], seed) if "layers" in self._rows else (0, {})
        return Seen(run, steps, seed, len(seeds), profiles, step, self._history, found.written_at)


def _of_seed(layers: pa.Table, seed: int) -> Rows:
    rows = rows_from_arrow(layers).of_minibatches()
    rows = rows.take(rows["seed"] == seed)
    return defined_backward(rows) if "log10_forward" in rows else rows


def _profiles_over_steps(
    layers: pa.Table, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """log10_backward where a step has it at all layers that have it: the layers, the steps, and (steps, layers)."""
    rows = _of_seed(layers, seed)
    if "log10_backward" not in rows or not len(rows := rows.having("log10_backward")):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0))
    steps, depths, profiles = pivot(rows, "log10_backward", index="step")
    _, counts = np.unique(rows["step"], return_counts=True)
    whole = counts == len(depths)
    return depths, steps[whole], profiles[whole]


def _newest_profiles(layers: pa.Table, seed: int) -> tuple[int, dict[str, Profile]]:
    """The profiles at the last step that has one, and that step."""
    rows = _of_seed(layers, seed)
    measured = {name: rows.having(column) for name, column in PROFILES.items() if column in rows}
    measured = {name: found for name, found in measured.items() if len(found)}
    step = max((int(found["step"].max()) for found in measured.values()), default=0)
    profiles, last = {}, int(rows["layer"].max(initial=0))
    for name, found in measured.items():
        at_step = found.take(found["step"] == step).sorted_by("layer")
        if len(at_step):
            profiles[name] = Profile(at_step["layer"], at_step[PROFILES[name]], last)
    return step, profiles
