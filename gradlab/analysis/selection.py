"""Stored columns as float64 arrays that keep apart what was not measured and what was measured as NaN."""

from collections.abc import Collection
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from gradlab.analysis.arrays import Rows
from gradlab.measurements.log10 import is_not_finite
from gradlab.store.read import ROW_KEYS

Table = TypeVar("Table", pd.DataFrame, Rows)


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


def rows_of(table: pd.DataFrame | Rows, columns: Collection[str] = ()) -> Rows:
    """The rows of a frame as arrays: its keys and those of `columns` that it has, or all of its columns."""
    if isinstance(table, Rows):
        return table
    names = [name for name in table.columns if not columns or name in columns or name in ROW_KEYS]
    return Rows(
        {name: _array(name, table[name]) for name in names},
        {name: is_measured(table[name]) for name in names if name not in ROW_KEYS},
    )


def rows_from_arrow(table: pa.Table) -> Rows:
    """The rows of an Arrow table as arrays: what `rows_of` makes of its frame."""
    columns = {name: table[name] for name in table.column_names}
    return Rows(
        {name: _arrow_array(name, column) for name, column in columns.items()},
        {name: column.is_valid().to_numpy() for name, column in columns.items() if name not in ROW_KEYS},
    )


def _arrow_array(name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    if pa.types.is_dictionary(column.type):
        return values
    return values.astype("int64" if name in ROW_KEYS else "float64")


def _array(name: str, column: pd.Series) -> NDArray[Any]:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(object)
    return column.to_numpy("int64") if name in ROW_KEYS else to_float64(column)


def _float64(rows: pd.DataFrame | Rows, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A column of numbers, and whether they were measured, each (rows,)."""
    if isinstance(rows, Rows):
        return rows[name], rows.measured[name]
    return to_float64(rows[name]), is_measured(rows[name])


def not_finite(rows: pd.DataFrame | Rows, name: str) -> NDArray[np.bool_]:
    """Whether a logarithm was measured as that of a number that is not finite, (rows,); −inf is that of zero."""
    values, measured = _float64(rows, name)
    flags: NDArray[np.bool_] = measured & is_not_finite(values)
    return flags


BACKWARD = ("log10_backward", "log10_backward_z", "log10_gradient")  # of layers: they come from the loss


def defined_backward(rows: Table) -> Table:
    """The rows of layers, with NaN for each gradient that is not defined: the forward signal of its step overflowed.

    It may be stored as zero, as JAX takes relu′(NaN) for 0; a zero behind a NaN is no zero.
    """
    overflowed = not_finite(rows, "log10_forward")
    if not overflowed.any():
        return rows
    keys = pd.DataFrame({key: rows[key] for key in ("run", "seed", "step", "source") if key in rows})
    by_step = keys.assign(overflowed=overflowed).groupby(list(keys), observed=True).overflowed
    undefined = by_step.transform("any").to_numpy(dtype=bool)
    columns = [name for name in BACKWARD if name in rows]
    if isinstance(rows, Rows):
        return rows.assign(**{name: np.where(undefined, np.nan, rows[name]) for name in columns})
    return rows.assign(**{name: _undefined_where(rows[name], undefined) for name in columns})


def _undefined_where(column: pd.Series, undefined: NDArray[np.bool_]) -> pd.Series:
    """The column with NaN where it is `undefined`; what was not measured stays null."""
    values = np.where(undefined, np.nan, to_float64(column))
    stored = pa.array(values, mask=~is_measured(column), from_pandas=False)
    return pd.Series(pd.arrays.ArrowExtensionArray(stored), index=column.index)


def pivot(
    layers: pd.DataFrame | Rows, column: str, index: str = "seed"
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """A column as a table: the sorted seeds (or steps), the sorted layers, and the values of shape (seeds, layers).

    A pair of seed and layer without a row is NaN.
    """
    rows, row = np.unique(np.asarray(layers[index]), return_inverse=True)
    depths, depth = np.unique(np.asarray(layers["layer"]), return_inverse=True)
    table = np.full((len(rows), len(depths)), np.nan)
    table[row, depth], _ = _float64(layers, column)
    return rows, depths, table
