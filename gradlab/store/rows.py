"""From a chunk's arrays to the rows of the three tables, exactly as the schema describes them."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gradlab.measure.columns import SCHEMAS

UPDATES = ("log10_update", "update_lost", "learning_rate")  # what a row that no update follows has not


class Rows(NamedTuple):
    """Which rows: `kept[s, t]` of seed s and step t; `last`: no update follows them."""

    seeds: np.ndarray
    steps: np.ndarray
    source: str
    kept: np.ndarray
    last: bool


def tables(rows: Rows, found: dict[str, dict[str, Any]]) -> dict[str, pa.Table]:
    """The chunk's part of each table; `found[table]` has what varies beside seed and step, by column."""
    return {table: _table(table, rows, columns) for table, columns in found.items()}


def _table(table: str, rows: Rows, columns: dict[str, Any]) -> pa.Table:
    """A column is (seeds, steps, entries), or (entries,) where every row has the same; a pair of such
    arrays is its values and where they were measured."""
    pairs = {key: value if isinstance(value, tuple) else (value, True) for key, value in columns.items()}
    shape = np.broadcast_shapes(*(np.shape(value) for value, _ in pairs.values()), (*rows.kept.shape, 1))
    pairs |= {"seed": (rows.seeds[:, None, None], True), "step": (rows.steps[None, :, None], True)}
    pairs["source"] = (np.array([rows.source]), True)
    kept = np.broadcast_to(rows.kept[:, :, None], shape)
    every = lambda value: np.broadcast_to(value, shape)[kept]
    arrays = []
    for field in SCHEMAS[table]:
        if field.name not in pairs or (rows.last and field.name in UPDATES):
            arrays.append(pa.nulls(int(kept.sum()), field.type))
        elif pa.types.is_dictionary(field.type):
            words, codes = np.unique(pairs[field.name][0], return_inverse=True)
            arrays.append(pa.DictionaryArray.from_arrays(pa.array(every(codes), pa.int32()), pa.array(words)))
        else:
            value, measured = (every(one) for one in pairs[field.name])
            arrays.append(_array(value, ~measured, field.type))
    return pa.table(arrays, schema=SCHEMAS[table])


def _array(values: np.ndarray, missing: np.ndarray, kind: pa.DataType) -> pa.Array:
    """What is missing is null; a NaN that was measured stays one."""
    return pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=missing, from_pandas=False)
