"""Rows of a table as NumPy arrays: to choose some of a few hundred rows takes pandas a hundred times as long."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns by name, each (rows,), and whether their values were measured.

    arrays: numbers as float64, where what was not measured is NaN; keys as int64, words as objects.
    measured: False where a value was not measured, True where it is a NaN that was.
    """

    arrays: dict[str, NDArray[Any]]
    measured: dict[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.arrays["seed"])

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    def take(self, chosen: NDArray[Any]) -> "Rows":
        """The rows that are chosen by truth values, (rows,), or by their indices, in the order of these."""
        return Rows(
            {name: values[chosen] for name, values in self.arrays.items()},
            {name: measured[chosen] for name, measured in self.measured.items()},
        )

    def having(self, *names: str) -> "Rows":
        """The rows in which all of these columns were measured."""
        return self.take(np.logical_and.reduce([self.measured[name] for name in names]))

    def of_minibatches(self) -> "Rows":
        """The rows measured on training minibatches, not those on the fixed batch."""
        return self.take(self.arrays["source"] == "batch")

    def sorted_by(self, key: str) -> "Rows":
        """The rows in the order of a key."""
        return self.take(np.argsort(self.arrays[key]))

    def assign(self, **arrays: NDArray[Any]) -> "Rows":
        """The rows with other values of these columns; what was not measured stays so."""
        return Rows(self.arrays | arrays, self.measured)
