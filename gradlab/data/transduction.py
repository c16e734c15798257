"""Sequence to sequence: copy and reverse, for an encoder with a decoder (Sutskever et al. 2014)."""

from functools import partial

import numpy as np

from gradlab.data.generated import distinct_rows, random_tokens, split_generated
from gradlab.data.sizes import Classes, Examples, Length, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count


@data
def copy(seed: Count, train: Examples, test: Examples, length: Length, symbols: Classes) -> Task:
    """Repeat `length` symbols in the same order: every answer lies `length` steps back.

    Inputs are tokens (examples, 2·length): the symbols, then what the decoder reads, a start token and the answer
    without its last symbol. Labels are (examples, length).
    """
    return _task("copy", seed, train, test, length, symbols)


@data
def reverse(seed: Count, train: Examples, test: Examples, length: Length, symbols: Classes) -> Task:
    """Repeat `length` symbols in reverse order: the first answer is one step back, the last 2·length − 1.

    The shapes are those of `copy`.
    """
    return _task("reverse", seed, train, test, length, symbols)


def _task(name: str, seed: int, train: int, test: int, length: int, symbols: int) -> Task:
    check_size(train + test, 2 * length)
    rng = np.random.default_rng(seed)
    sequences = distinct_rows(partial(random_tokens, rng, symbols, length), train + test)
    y = sequences if name == "copy" else np.ascontiguousarray(sequences[:, ::-1])
    start = np.full((len(y), 1), symbols, np.int32)
    x = np.concatenate([sequences, start, y[:, :-1]], axis=1)
    source = f"synthetic: {name} {length} symbols of {symbols}"
    return Task(source, *split_generated(x, y, train), outputs=symbols, vocabulary=symbols + 1)
