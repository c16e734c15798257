"""From the arrays of a chunk of steps to rows of the tables, as the schema (`measure.columns`) describes them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

TableColumns = Mapping[str, Any]


class Rows(NamedTuple):
    """Which rows a chunk stores."""

    seeds: np.ndarray  # (seeds,)
    steps: np.ndarray  # (steps,)
    source: str  # `batch` or `probe`, the fixed batch
    kept: np.ndarray  # (seeds, steps), False: the row is not stored


def tables(rows: Rows, columns: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> dict[str, pa.Table]:
    """The chunk's rows by table; `columns[table]` holds what is not a key: the table's schema says which there are.

    A column is an array (seeds, steps, entries) or one that broadcasts to it, as (entries,) for what all rows share;
    or a pair of such arrays: the values, and where they were measured. A row is stored for each kept seed and step
    and each entry; of a table given as a pair (columns, where), where `where`, (seeds, steps, entries), holds, too. A
    column of the schema that is not given is null.

    Raises:
        KeyError: if the schema has no column of a given name.
    """
    pairs = {table: given if isinstance(given, tuple) else (given, True) for table, given in columns.items()}
    return {
        table: _table(table, rows, table_columns, where, schemas[table])
        for table, (table_columns, where) in pairs.items()
    }


def _table(table: str, rows: Rows, columns: TableColumns, where: Any, schema: pa.Schema) -> pa.Table:
    if undeclared := sorted(columns.keys() - set(schema.names)):
        raise KeyError(
            f"the table '{table}' has no column {', '.join(undeclared)}; its probe must declare it"
        )
    pairs = {name: value if isinstance(value, tuple) else (value, True) for name, value in columns.items()}
    shape = np.broadcast_shapes(*(np.shape(values) for values, _ in pairs.values()), (*rows.kept.shape, 1))
    pairs |= {"seed": (rows.seeds[:, None, None], True), "step": (rows.steps[None, :, None], True)}
    pairs["source"] = (np.array([rows.source]), True)
    kept = np.broadcast_to(rows.kept[:, :, None] & where, shape)
    all_kept = bool(kept.all())
    # of a table of vectors few places are kept, which are found once for all columns
    places: Any = kept if where is True else np.nonzero(kept)

    def stored(array: Any) -> np.ndarray:
        whole = np.broadcast_to(array, shape)
        return np.asarray(whole.reshape(-1) if all_kept else whole[places])

    arrays = []
    for field in schema:
        if field.name not in pairs:
            arrays.append(pa.nulls(int(kept.sum()), field.type))
        elif pa.types.is_dictionary(field.type):
            words, codes = np.unique(pairs[field.name][0], return_inverse=True)
            indices = pa.array(stored(codes), pa.int32())
            arrays.append(pa.DictionaryArray.from_arrays(indices, pa.array(words)))
        else:
            values, measured = pairs[field.name]
            missing = None if measured is True else ~stored(measured)
            arrays.append(_array(stored(values), missing, field.type))
    return pa.table(arrays, schema=schema)


def _array(values: np.ndarray, missing: np.ndarray | None, dtype: pa.DataType) -> pa.Array:
    """An Arrow array, null where `missing`; a measured NaN stays NaN. `values` and `missing`: (rows,)."""
    return pa.array(values.astype(dtype.to_pandas_dtype()), dtype, mask=missing, from_pandas=False)
