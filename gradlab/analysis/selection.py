"""Stored columns as float64 arrays that keep apart what was not measured and what was measured as NaN."""

import numpy as np
import pandas as pd


def values(column: pd.Series) -> np.ndarray:
    """The column as float64; null becomes NaN, so ask `measured` which is which."""
    return column.to_numpy(dtype="float64", na_value=np.nan)


def measured(column: pd.Series) -> np.ndarray:
    """Where something was measured, NaN too; a plain NumPy column knows no null, so everywhere."""
    if isinstance(column.dtype, np.dtype):
        return np.ones(len(column), dtype=bool)
    return ~column.isna().to_numpy(dtype=bool)


def known(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows in which `column` was measured."""
    return frame[measured(frame[column])]


def batch(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows taken on training minibatches, where every step has one."""
    return frame[(frame.source == "batch").to_numpy()]


def grid(layers: pd.DataFrame, column: str, rows: str = "seed") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One line per seed (or step), one column per layer: the rows, the layers, the values; absent is NaN."""
    lines, line = np.unique(layers[rows].to_numpy(), return_inverse=True)
    depths, depth = np.unique(layers.layer.to_numpy(), return_inverse=True)
    table = np.full((len(lines), len(depths)), np.nan)
    table[line, depth] = values(layers[column])
    return lines, depths, table
