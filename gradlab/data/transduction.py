"""A sequence in, a sequence out: copy and reverse, for an encoder with a decoder (Sutskever et al. 2014)."""

import numpy as np

from gradlab.data.generated import distinct_rows, split_generated
from gradlab.data.sizes import Classes, Examples, Length, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count


@data
def copy(seed: Count, train: Examples, test: Examples, length: Length, symbols: Classes) -> Task:
    """Say `length` symbols again in their order: every answer lies `length` steps back."""
    return _said("copy", seed, train, test, length, symbols)


@data
def reverse(seed: Count, train: Examples, test: Examples, length: Length, symbols: Classes) -> Task:
    """Say `length` symbols backwards: the first answer is one step back, the last 2·length − 1."""
    return _said("reverse", seed, train, test, length, symbols)


def _said(name: str, seed: int, train: int, test: int, length: int, symbols: int) -> Task:
    """x: the source, then what the decoder is fed: a start token (`symbols`), and the answer but its last symbol."""
    check_size(train + test, 2 * length)
    rng = np.random.default_rng(seed)
    said = distinct_rows(
        lambda rows: rng.integers(symbols, size=(rows, length), dtype=np.int32), train + test
    )
    y = said if name == "copy" else np.ascontiguousarray(said[:, ::-1])
    start = np.full((len(y), 1), symbols, np.int32)
    x = np.concatenate([said, start, y[:, :-1]], axis=1)
    source = f"synthetic: {name} {length} symbols of {symbols}"
    return Task(source, *split_generated(x, y, train), outputs=symbols, vocabulary=symbols + 1)
