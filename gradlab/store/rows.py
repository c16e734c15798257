"""From a chunk's arrays to the rows of the three tables, exactly as the schema describes them."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gradlab.store.schema import SCHEMAS


class Rows(NamedTuple):
    """Which rows: `kept[s, t]` of seed s and step t; `last`: rows after the last update, which have none."""

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
    schema = SCHEMAS[table]
    pairs = {key: value if isinstance(value, tuple) else (value, True) for key, value in columns.items()}
    shape = np.broadcast_shapes(*(np.shape(value) for value, _ in pairs.values()), (*rows.kept.shape, 1))
    pairs |= {"seed": (rows.seeds[:, None, None], True), "step": (rows.steps[None, :, None], True)}
    pairs["source"] = (rows.source, True)
    kept = np.broadcast_to(rows.kept[:, :, None], shape).ravel()
    arrays = []
    for field in schema:
        gone = rows.last and field.name in ("log10_update", "update_lost", "learning_rate")
        if field.name not in pairs or gone:
            arrays.append(pa.nulls(int(kept.sum()), field.type))
            continue
        value, measured = (np.broadcast_to(one, shape).ravel()[kept] for one in pairs[field.name])
        arrays.append(_array(value, ~measured, field.type))
    return pa.table(arrays, schema=schema)


def _array(values: np.ndarray, missing: np.ndarray, kind: pa.DataType) -> pa.Array:
    """What is missing is null; a NaN that was measured stays one."""
    if pa.types.is_dictionary(kind):
        words, codes = np.unique(values, return_inverse=True)
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(words, pa.string()))
    return pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=missing, from_pandas=False)
