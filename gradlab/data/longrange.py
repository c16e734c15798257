"""Sequences whose answer depends on early steps: a recurrent network learns them only if its gradient reaches back."""

from functools import partial
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import distinct_rows, random_tokens, split_generated
from gradlab.data.sizes import Classes, Examples, Length, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, Size

LengthFrom10 = Annotated[int, Bound(int, 10, 1_000_000)]


@data
def adding(seed: Count, train: Examples, test: Examples, length: Length) -> Task:
    """The sum of the two marked numbers of `length` uniform ones (Hochreiter & Schmidhuber 1997, task 4).

    Inputs are numbers and marks (examples, length, 2), targets (examples, 1). One mark is in each half (Arjovsky et al.
    2016). The constant prediction 1 has the mean squared error 1/6 and R² 0.
    """
    check_size(train + test, length, 2)
    rng, count = np.random.default_rng(seed), train + test
    numbers = rng.random((count, length), np.float32)
    marks, rows = np.zeros_like(numbers), np.arange(count)
    for low, high in ((0, length // 2), (length // 2, length)):
        marks[rows, rng.integers(low, high, count)] = 1
    x, y = np.stack([numbers, marks], axis=2), (numbers * marks).sum(1, keepdims=True)
    source = f"synthetic: adding problem, {length} steps"
    return Task(source, *split_generated(x, y, train), outputs=1, metric="r2")


@data
def copy_memory(
    seed: Count,
    train: Examples,
    test: Examples,
    delay: Size,
    items: Size,
    symbols: Classes,
    counted: Literal["recall", "all"],
) -> Task:
    """Store `items` symbols over `delay` blanks, then repeat them (Arjovsky et al. 2016: 10 items of 8 symbols).

    Inputs and labels are (examples, delay + 2·items): the items, delay − 1 blanks, a delimiter, items blanks. In the
    literature `all` steps have labels, most of them "blank": without memory the loss is
    items·ln(symbols)/(delay + 2·items). With `recall` only the last `items` steps have labels, so that the chance level
    of the accuracy is 1/symbols.
    """
    check_size(train + test, delay + 2 * items)
    rng, count, blank = np.random.default_rng(seed), train + test, symbols
    stored = distinct_rows(partial(random_tokens, rng, symbols, items), count)
    x = np.full((count, delay + 2 * items), blank, np.int32)
    x[:, :items] = stored
    x[:, items + delay - 1] = blank + 1
    y = np.full_like(x, blank if counted == "all" else -1)
    y[:, -items:] = stored
    outputs = symbols + (counted == "all")
    source = f"synthetic: copy memory, {items} symbols of {symbols} over {delay} steps"
    return Task(source, *split_generated(x, y, train), outputs=outputs, vocabulary=symbols + 2)


@data
def temporal_order(seed: Count, train: Examples, test: Examples, length: LengthFrom10) -> Task:
    """Which two signals occurred, in which order: XX, XY, YX or YY (Hochreiter & Schmidhuber 1997, task 6a).

    Inputs are tokens (examples, length), labels (examples,). Tokens 4 (X) and 5 (Y) are at positions in [T/10, 2T/10)
    and [4T/10, 5T/10), distractors 0…3 elsewhere, as in Pascanu et al. 2013. The chance level is 1/4.
    """
    check_size(train + test, length)
    x = distinct_rows(partial(_random_signals, np.random.default_rng(seed), length), train + test)
    first, second = (x[x >= 4].reshape(-1, 2) - 4).T
    y = 2 * first + second
    source = f"synthetic: temporal order, {length} steps"
    return Task(source, *split_generated(x, y, train), outputs=4, vocabulary=6)


@data
def parity(seed: Count, train: Examples, test: Examples, length: Length) -> Task:
    """Whether the number of ones among `length` bits is odd; no proper subset of the bits contains any information.

    Inputs are tokens (examples, length), labels (examples,).
    """
    check_size(train + test, length)
    x = distinct_rows(partial(random_tokens, np.random.default_rng(seed), 2, length), train + test)
    y = (x.sum(1) % 2).astype(np.int32)
    return Task(f"synthetic: parity of {length} bits", *split_generated(x, y, train), outputs=2, vocabulary=2)


def _random_signals(rng: np.random.Generator, length: int, count: int) -> NDArray[np.int32]:
    """(count, length): distractors, with a signal in the second and one in the fifth tenth."""
    rows = rng.integers(4, size=(count, length), dtype=np.int32)
    for tenth in (1, 4):
        positions = rng.integers(tenth * length // 10, (tenth + 1) * length // 10, count)
        rows[np.arange(count), positions] = 4 + rng.integers(2, size=count)
    return rows
