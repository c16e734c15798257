"""Which rows of a table of many runs are read: of minibatches, those that a comparison draws."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Selection(NamedTuple):
    """What is read of a table of many runs: these columns beside the keys of a row, and what `rows` keeps of a run."""

    columns: tuple[str, ...]
    rows: Callable[[pa.Table], pa.Table] = lambda rows: rows


def minibatch_ends(rows: pa.Table) -> pa.Table:
    """The rows of minibatches at the first step, and at the last one of each seed."""
    places = _minibatch_places(rows)
    seed, step = (rows[key].to_numpy()[places] for key in ("seed", "step"))
    ends = step == step.min(initial=np.iinfo(step.dtype).max)
    for value in np.unique(seed):
        ends |= (seed == value) & (step == step[seed == value].max())
    return rows.take(pa.array(places[ends]))


def minibatch_evaluations(rows: pa.Table) -> pa.Table:
    """The rows of minibatches at evaluations, at both ends, where the loss is not finite, or a new optimizer begins.

    All rows of minibatches where nothing was evaluated.
    """
    places = _minibatch_places(rows)
    kept = rows["train_loss"].is_valid().to_numpy()[places]
    if not kept.any():
        return rows.take(pa.array(places))
    seed, phase = rows["seed"].to_numpy()[places], pc.fill_null(rows["phase"], 0).to_numpy()[places]
    kept |= ~pc.fill_null(pc.is_finite(rows["loss"]), True).to_numpy()[places]
    changed = (np.diff(seed) != 0) | (np.diff(phase) != 0)
    kept[1:] |= changed
    kept[:-1] |= changed  # the last row of a seed stands before the first one of the next
    kept[[0, -1]] = True
    return rows.take(pa.array(places[kept]))


def _minibatch_places(rows: pa.Table) -> np.ndarray:
    """The indices of the rows of minibatches."""
    source = rows["source"].unify_dictionaries().combine_chunks()
    words = source.dictionary.to_pylist()
    return np.flatnonzero(source.indices.to_numpy() == (words.index("batch") if "batch" in words else -1))
