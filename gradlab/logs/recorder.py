"""`gradlab.Recorder`: the rows of a user's own training loop, written into the folder of a run as they come."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from gradlab.logs.foreign_writer import (
    STEP_NAMES,
    ForeignWriter,
    Measured,
    Record,
    claimed,
    require_column,
)
from gradlab.logs.known import known_parts
from gradlab.recipe.bounds import LARGEST
from gradlab.recipe.errors import RecipeError, described, hint, unwritable
from gradlab.recipe.printing import one_line

MOST_STEPS = 10_000  # that stay in memory, however quickly they come
_NOTHING: Mapping[str, Any] = {}


class Row(NamedTuple):
    """What was measured at one step; profiles are arrays (layers,), masked where they were not measured."""

    step: int
    numbers: dict[str, float]
    profiles: dict[str, np.ma.MaskedArray]


class Recorder:
    """Writes what a training loop measured, as a run that every command of gradlab reads, also while it goes on.

        with gradlab.Recorder("outputs/mine/run", layers=["input", "hidden 1", "output"]) as recorder:
            for step in range(100):
                ...
                recorder.write(step, {"log10_backward": norms}, loss=loss)

    A crash loses at most the rows of the last `seconds`. The run ends as finished (as diverged where its last rows are
    not finite), as stopped by Ctrl-C, or as failed with the exception that leaves the `with` block.
    """

    def __init__(
        self,
        path: str | Path,
        layers: Sequence[str] = (),
        known: Mapping[str, Any] = _NOTHING,
        force: bool = False,
        seconds: float = 5.0,
    ) -> None:
        """Claims the folder `path`, as outputs/STUDY/NAME, until `close`.

        `layers` are the names of the layers from input to output, if not the first row has them. `known` states parts
        of the recipe, as {"lr": 0.1, "optimizer": "adam", "clip": "norm", "clip.threshold": 1.0}. `force` replaces
        a run that is there. Rows stay in memory for at most `seconds`.

        Raises:
            RecipeError: the folder holds a run and not `force`, or `known` is no part of a recipe.
            InUseError: another process is writing to the folder.
            StorageError: the file system does not take it.
        """
        self.folder = Path(path).absolute()  # the loop may change the current folder
        self.seconds = seconds
        self._known = known_parts(known)
        self._layers = _layer_names(layers)
        self._rows: list[Row] = []
        self._last_step = -1
        self._names: set[str] = set()  # of columns that may be stored
        self._written_at = -math.inf  # the first row of layers is written at once
        self._closed = False
        self._held = ExitStack()
        self._held.enter_context(claimed(self.folder, force))
        self._writer: ForeignWriter | None = None
        if self._layers:
            self._open()

    def _open(self) -> ForeignWriter:
        if self._writer is None:
            facts = {"origin": "recorded"}
            source = {"source": "gradlab.Recorder"}
            self._writer = ForeignWriter(self.folder, facts, source, self._layers, self._known)
        return self._writer

    def write(self, step: int, row: Any = None, layers: Sequence[str] = (), **numbers: Any) -> None:
        """Add what was measured at `step`, before its update.

        `row` maps the names of columns (log10_forward, log10_backward, log10_gradient, log10_weight, … or of your own)
        to arrays (layers,), or has a method `columns()` that returns such a mapping; None where no layer was measured.
        NaN and infinities are measured values, −inf is the logarithm of an exact zero; what was not measured is left
        out, or masked in a masked array. `numbers` are columns of the table of steps: loss, learning_rate,
        log10_gradient (of all parameters), test_loss, …

        Raises:
            RecipeError: the step does not increase, the row is one of other layers, or there is no such column.
            StorageError: the file system does not take the rows.
        """
        at = self._next_step(step)
        profiles = self._profiles(row, layers)
        values = {name: _number(name, value) for name, value in numbers.items() if value is not None}
        self._rows.append(Row(at, values, profiles))
        self._last_step = at
        if not self._layers and self._written_at == -math.inf:
            self._written_at = time.monotonic()  # the layers may get their names in the next row
        if time.monotonic() - self._written_at >= self.seconds or len(self._rows) >= MOST_STEPS:
            self.flush()
            self._written_at = time.monotonic()

    def _next_step(self, step: Any) -> int:
        if self._closed:
            raise RecipeError(f"{self.folder} is closed; a run that has ended takes no rows")
        number = np.asarray(step)
        if number.shape or number.dtype.kind not in "iu" or not 0 <= int(number) <= LARGEST:
            raise RecipeError(f"step={one_line(step)} must be a whole number from 0 to {LARGEST}")
        if int(number) <= self._last_step:
            raise RecipeError(
                f"step={int(number)} was given after step {self._last_step}; steps must increase"
            )
        return int(number)

    def _profiles(self, row: Any, layers: Sequence[str]) -> dict[str, np.ma.MaskedArray]:
        """The columns of a row, each (layers,), masked where it was not measured."""
        if row is None:
            return {}
        columns = row.columns() if callable(getattr(row, "columns", None)) else row
        if not isinstance(columns, Mapping):
            raise RecipeError(
                f"a row maps names of columns to arrays, or has a method columns(); got {type(row).__name__}"
            )
        self._require_layers(layers or getattr(row, "layers", None) or ())
        kept = {name: values for name, values in columns.items() if values is not None}
        for name in kept.keys() - self._names:
            require_column(name)
            self._names.add(name)
        return {name: self._profile(name, values) for name, values in kept.items()}

    def _require_layers(self, layers: Sequence[str]) -> None:
        names = _layer_names(layers)
        if not self._layers and self._writer is not None:
            raise RecipeError(
                "the first row had no layers; give layers=[…] to the Recorder, or a row of layers first"
            )
        if names and self._layers and names != self._layers:
            raise RecipeError(
                f"a row of other layers: {one_line(names)[:100]}; the first one had {one_line(self._layers)[:100]}"
            )
        if not names and not self._layers:
            raise RecipeError(
                "the layers have no names; give layers=[…] to the Recorder or with the first row"
            )
        self._layers = self._layers or names

    def _profile(self, name: str, values: Any) -> np.ma.MaskedArray:
        try:
            profile = np.ma.asarray(values, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:  # the last of PyTorch, for what has a gradient
            raise RecipeError(f"{name} is no array of numbers ({described(error)})") from error
        if profile.shape != (len(self._layers),):
            raise RecipeError(
                f"a row of other layers: {name} has shape {profile.shape}, and the run has {len(self._layers)} layers"
            )
        return profile.copy()

    def flush(self) -> None:
        """Write the rows in memory now.

        Raises:
            StorageError: the file system does not take the rows.
        """
        if not self._rows:
            return
        steps = np.array([row.step for row in self._rows])
        record = Record(steps, _stacked_numbers(self._rows), _stacked_profiles(self._rows, len(self._layers)))
        try:
            self._open().write(record)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self._rows.clear()  # not before: Ctrl-C may come while they are written

    def close(self, state: str = "finished", message: str = "") -> None:
        """Write what is left and how the run ended; without a row there is no run. A second call does nothing.

        Raises:
            StorageError: the file system does not take it.
        """
        if self._closed:
            return
        try:
            self.flush()
            if self._writer is not None:
                self._writer.end(state, message)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        finally:
            self._closed = True
            self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif isinstance(error, KeyboardInterrupt):
            self.close("stopped", "by Ctrl-C")
        else:
            self.close("failed", described(error, 300))


def _stacked_numbers(rows: Sequence[Row]) -> dict[str, Measured]:
    """Each number of some row as a column, (rows,)."""
    names = dict.fromkeys(name for row in rows for name in row.numbers)
    return {
        name: Measured(
            np.array([row.numbers.get(name, 0.0) for row in rows]),
            np.array([name in row.numbers for row in rows]),
        )
        for name in names
    }


def _stacked_profiles(rows: Sequence[Row], layers: int) -> dict[str, Measured]:
    """Each profile of some row as a column, (rows, layers)."""
    names = dict.fromkeys(name for row in rows for name in row.profiles)
    nothing = np.ma.array(np.zeros(layers), mask=True)
    stacked = {name: np.ma.stack([row.profiles.get(name, nothing) for row in rows]) for name in names}
    return {
        name: Measured(np.ma.getdata(values), ~np.ma.getmaskarray(values)) for name, values in stacked.items()
    }


def _layer_names(layers: Sequence[str]) -> list[str]:
    """The names, each in one line.

    Raises:
        RecipeError: one is no text, or two are the same.
    """
    names = list(layers)
    if isinstance(layers, str) or not all(isinstance(name, str) and name == one_line(name) for name in names):
        raise RecipeError("the layers must be a list of names, each a line of text")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise RecipeError(f"two layers are called '{twice[0]}'; give each its own name")
    return names


def _number(name: str, value: Any) -> float:
    if name not in STEP_NAMES:
        raise RecipeError(f"there is no column '{name}' of steps{hint(name, STEP_NAMES)}")
    try:
        number = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RecipeError(f"{name} is no number ({described(error)})") from error
    if number.shape:
        raise RecipeError(f"{name} has shape {number.shape}, and must be one number")
    return float(number)
