"""Writes a foreign run as it goes, by the store of gradlab's own runs: the one writer of `ingest` and of `Recorder`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradlab import __version__
from gradlab.measurements.columns import EVALUATION, RESULTS, STEPS, TABLES, Column, schemas
from gradlab.measurements.fault import first_nonfinite
from gradlab.measurements.log10 import is_not_finite
from gradlab.recipe.errors import RecipeError, hint, unwritable
from gradlab.recipe.paths import is_folder
from gradlab.store import lock, write
from gradlab.store.contents import ORIGIN
from gradlab.store.rows import Rows, tables
from gradlab.store.status import write_status

PROFILES = ("log10_forward", "log10_backward", "log10_gradient")
# what a column of layers holds: a log may define it otherwise, and then only its own shape over layers counts
DEFINITIONS = {
    "log10_forward": "log10 of the size of the layer's output, as the log gives it (gradlab's own runs: RMS per unit)",
    "log10_backward": "log10 of the size of ∂loss/∂h_l, as the log gives it (gradlab's own runs: √B·‖∂loss/∂h_l‖_F)",
    "log10_gradient": "log10 of the norm of ∂loss/∂W_l, as the log gives it",
    "log10_weight": "log10 of the norm of W_l, as the log gives it",
    "log10_update": "log10 of the norm of the update of W_l, as the log gives it",
}
STEP_NAMES = tuple(column.name for column in (*STEPS, *EVALUATION))
_NOTHING_KNOWN: Mapping[str, Any] = {}


class Measured(NamedTuple):
    """Values, and where they were measured: two arrays of one shape; a NaN may be measured, null is not."""

    values: NDArray[np.float64]
    measured: NDArray[np.bool_]


class Record(NamedTuple):
    """Some steps of a run.

    steps: (steps,), increasing.
    numbers: columns of the table of steps by name, each (steps,).
    profiles: columns of the table of layers by name, each (steps, layers).
    """

    steps: NDArray[np.int64]
    numbers: Mapping[str, Measured]
    profiles: Mapping[str, Measured]


@contextmanager
def claimed(folder: Path, force: bool) -> Iterator[None]:
    """Hold the folder of a run that is to be written, made where it is missing and cleared of another run by `force`.

    Raises:
        RecipeError: it holds a run and not `force`, or it or something that a run writes in it is a link.
        InUseError: another process is writing to it.
        StorageError: the file system does not take it.
    """
    try:
        write.require_no_links(folder)
        write.make_folder(folder)
        with lock.hold(folder):
            if holds_run(folder) and not force:
                raise RecipeError(f"{folder} holds a run already; give another name, or force to replace it")
            write.clear(folder)
            yield
    except OSError as error:
        raise unwritable(folder, error) from error


def holds_run(folder: Path) -> bool:
    """Whether the folder has files of a run."""
    if not is_folder(folder):
        return False
    named = any(os.path.lexists(folder / name) for name in ("recipe.yaml", "status.json"))
    return named or any(write.table_files(folder, table) for table in TABLES)


class ForeignWriter:
    """Writes a foreign run into its claimed folder; what its methods write is on the disk when they return."""

    def __init__(
        self,
        folder: Path,
        facts: Mapping[str, str],
        source: Mapping[str, str],
        layers: Sequence[str],
        known: Mapping[str, Any] = _NOTHING_KNOWN,
    ) -> None:
        """`facts` are entries of status.json, `source` says where the run is from, `known` are parts of its recipe."""
        self.folder = folder
        self.layers = np.array(layers, dtype=object)
        self.files = dict(write.recipe(folder, {ORIGIN: dict(source), **known}))
        self.parts: dict[str, str] = {}
        self.status: dict[str, Any] = {
            "state": "running",
            "message": "",
            "name": folder.name,
            "steps_done": 0,
        }
        self.status |= {**facts, "started": datetime.now(UTC).isoformat(timespec="seconds")}
        self.status |= {"versions": {"gradlab": __version__}, "nonfinite": []}
        self._write_status()

    def _write_status(self, **changes: Any) -> None:
        self.status |= changes | {"files": self.files}
        write_status(self.folder, self.status)

    def write(self, record: Record) -> None:
        """Write a record, of later steps than those before, as one part of each table; to repeat it changes nothing."""
        for table, rows in stored_tables(record, self.layers).items():
            parts = write.part(self.folder, table, int(record.steps[0]), [rows])
            write.note_digests(self.folder, parts)
            self.parts |= parts
        self._note_nonfinite(record)
        self._write_status(steps_done=int(record.steps[-1]) + 1)

    def _note_nonfinite(self, record: Record) -> None:
        """Note where the run became non-finite for good: at the first step of those from which on no step is finite."""
        broken = _broken(record)
        if not broken[-1]:
            self.status["nonfinite"] = []
            return
        since = len(broken) - int(np.argmin(broken[::-1])) if not broken.all() else 0
        if since or not self.status["nonfinite"]:
            self.status["nonfinite"] = [_place(record, since, self.layers)]

    def end(self, state: str, message: str = "") -> None:
        """Write the final state, and merge the parts; a run that stays non-finite has diverged."""
        diverged = state == "finished" and self.status["nonfinite"]
        self._write_status(state="diverged" if diverged else state, message=message)
        if state in RESULTS:
            write.compact(self.folder, self.parts, self._note_merged, set(self.parts))

    def _note_merged(self, merged: Mapping[str, str]) -> None:
        self.files |= merged
        self._write_status()


def stored_tables(record: Record, layers: NDArray[Any]) -> dict[str, pa.Table]:
    """The rows of a record: one for each step, and one for each layer of the steps that measured any layer.

    Raises:
        RecipeError: a column has a name that no column can have.
    """
    if unknown := [name for name in record.numbers if name not in STEP_NAMES]:
        raise RecipeError(f"there is no column '{unknown[0]}' of steps{hint(unknown[0], STEP_NAMES)}")
    schema = schemas([_column(name) for name in record.profiles])
    of_steps = {
        name: (values[None, :, None], measured[None, :, None])
        for name, (values, measured) in record.numbers.items()
    }
    all_steps = Rows(np.array([0]), record.steps, "batch", np.ones((1, len(record.steps)), bool))
    stored = tables(all_steps, {"steps": of_steps}, schema)
    if len(layers) and record.profiles:
        with_layers = np.logical_or.reduce([measured.any(1) for _, measured in record.profiles.values()])
        of_layers: dict[str, Any] = {"layer": np.arange(len(layers)), "name": layers}
        of_layers |= {
            name: (values[None], measured[None]) for name, (values, measured) in record.profiles.items()
        }
        stored |= tables(all_steps._replace(kept=with_layers[None]), {"layers": of_layers}, schema)
    return stored


def require_column(name: object) -> None:
    """Check the name of a column of layers.

    Raises:
        RecipeError: no column can be called so.
    """
    try:
        schemas([_column(str(name))])
    except RecipeError:
        raise RecipeError(
            f"a column cannot be called {name!r}; take a word of small letters, digits and _ that is no choice of a "
            "recipe and no key of a table"
        ) from None


def _column(name: str) -> Column:
    unit = "log10" if name.startswith("log10_") else "1"
    return Column(name, DEFINITIONS.get(name, "as it was recorded"), unit)


def _broken(record: Record) -> NDArray[np.bool_]:
    """Which steps have a loss, a gradient norm or a signal that was measured and is not finite, (steps,)."""
    broken = np.zeros(len(record.steps), bool)
    for name, (values, measured) in record.numbers.items():
        if name in ("loss", "log10_gradient"):
            broken |= measured & (~np.isfinite(values) if name == "loss" else is_not_finite(values))
    for name in PROFILES:
        if name in record.profiles:
            values, measured = record.profiles[name]
            broken |= (measured & is_not_finite(values)).any(1)
    return broken


def _place(record: Record, at: int, layers: NDArray[Any]) -> dict[str, Any]:
    """Where a step is not finite, as status.json says it; a profile that was not measured is taken for whole."""
    profiles = []
    for name in PROFILES:
        values, measured = record.profiles.get(
            name, (np.zeros((len(record.steps), len(layers))), np.array(False))
        )
        profiles.append(np.where(measured, values, 0.0)[at])
    layer, where = first_nonfinite(*profiles) if len(layers) else (None, "loss")
    losses, measured = record.numbers.get(
        "loss", (np.zeros(len(record.steps)), np.zeros(len(record.steps), bool))
    )
    if layer is None and (np.isfinite(losses[at]) or not measured[at]):
        where = "gradient"  # only the norm of all parameters tells
    called = None if layer is None else str(layers[layer])
    return {"seed": 0, "step": int(record.steps[at]), "layer": layer, "name": called, "where": where}
