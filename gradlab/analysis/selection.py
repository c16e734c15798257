"""Stored columns as float64 arrays that keep apart what was not measured and what was measured as NaN."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray


def to_float64(column: pd.Series) -> NDArray[np.float64]:
    """The column as float64, shape (rows,); null becomes NaN, so ask `is_measured` which is which."""
    return column.to_numpy(dtype="float64", na_value=np.nan)


def is_measured(column: pd.Series) -> NDArray[np.bool_]:
    """Whether each row was measured, shape (rows,); a measured NaN is, and so is all of a plain NumPy column."""
    if isinstance(column.dtype, np.dtype):
        return np.ones(len(column), dtype=bool)
    return ~column.isna().to_numpy(dtype=bool)


def rows_with(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows in which `column` was measured."""
    return frame[is_measured(frame[column])]


def minibatch_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows measured on training minibatches, not those on the fixed batch."""
    return frame[(frame.source == "batch").to_numpy()]


BACKWARD = ("log10_backward", "log10_backward_z", "log10_gradient")  # of layers: they come from the loss


def defined_backward(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of layers, with NaN for each gradient that is not defined: the forward signal of its step overflowed.

    It may be stored as zero, as JAX takes relu′(NaN) for 0; a zero behind a NaN is no zero.
    """
    forward = to_float64(rows.log10_forward)
    overflowed = is_measured(rows.log10_forward) & (np.isnan(forward) | (forward == np.inf))
    if not overflowed.any():
        return rows
    keys = [key for key in ("run", "seed", "step", "source") if key in rows]
    undefined = (
        rows[keys].assign(overflowed=overflowed).groupby(keys, observed=True).overflowed.transform("any")
    )
    columns = [name for name in BACKWARD if name in rows]
    return rows.assign(
        **{name: _undefined_where(rows[name], undefined.to_numpy(dtype=bool)) for name in columns}
    )


def _undefined_where(column: pd.Series, undefined: NDArray[np.bool_]) -> pd.Series:
    """The column with NaN where it is `undefined`; what was not measured stays null."""
    values = np.where(undefined, np.nan, to_float64(column))
    stored = pa.array(values, mask=~is_measured(column), from_pandas=False)
    return pd.Series(pd.arrays.ArrowExtensionArray(stored), index=column.index)


def pivot(
    layers: pd.DataFrame, column: str, index: str = "seed"
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """A column as a table: the sorted seeds (or steps), the sorted layers, and the values of shape (seeds, layers).

    A pair of seed and layer without a row is NaN.
    """
    rows, row = np.unique(layers[index].to_numpy(), return_inverse=True)
    depths, depth = np.unique(layers.layer.to_numpy(), return_inverse=True)
    table = np.full((len(rows), len(depths)), np.nan)
    table[row, depth] = to_float64(layers[column])
    return rows, depths, table
