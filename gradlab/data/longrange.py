"""Sequences whose answer lies far back: what a recurrent network can learn only if its gradient gets there."""

from typing import Annotated, Literal

import numpy as np

from gradlab.data.generated import distinct_rows, split_generated
from gradlab.data.sizes import Classes, Examples, Length, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, Size

Long = Annotated[int, Bound(int, 10, 1_000_000)]


@data
def adding(seed: Count, train: Examples, test: Examples, length: Length) -> Task:
    """Add the two marked ones of `length` uniform numbers (Hochreiter & Schmidhuber 1997, task 4).

    One mark is in each half (Arjovsky et al. 2016). Who answers 1 always has the mean squared error 1/6, R² 0.
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
    """Hold `items` symbols over `delay` blanks, then say them (Arjovsky et al. 2016: 10 items of 8 symbols).

    delay + 2·items steps: the items, delay − 1 blanks, a delimiter, items blanks. The literature counts `all`
    steps, nearly all of which say "blank": without memory the loss is items·ln(symbols)/(delay + 2·items).
    `recall` counts the last `items` steps alone, so that accuracy 1/symbols is chance.
    """
    check_size(train + test, delay + 2 * items)
    rng, count, blank = np.random.default_rng(seed), train + test, symbols
    held = distinct_rows(lambda rows: rng.integers(symbols, size=(rows, items), dtype=np.int32), count)
    x = np.full((count, delay + 2 * items), blank, np.int32)
    x[:, :items] = held
    x[:, items + delay - 1] = blank + 1
    y = np.full_like(x, blank if counted == "all" else -1)
    y[:, -items:] = held
    outputs = symbols + (counted == "all")
    source = f"synthetic: copy memory, {items} symbols of {symbols} over {delay} steps"
    return Task(source, *split_generated(x, y, train), outputs=outputs, vocabulary=symbols + 2)


@data
def temporal_order(seed: Count, train: Examples, test: Examples, length: Long) -> Task:
    """Which two signals came, and in which order? XX, XY, YX or YY (Hochreiter & Schmidhuber 1997, task 6a).

    Tokens 4 (X) and 5 (Y) at places in [T/10, 2T/10) and [4T/10, 5T/10), else distractors 0…3, as in
    Pascanu et al. 2013. Chance is 1/4.
    """
    check_size(train + test, length)
    rng = np.random.default_rng(seed)

    def draw(count: int) -> np.ndarray:
        rows = rng.integers(4, size=(count, length), dtype=np.int32)
        for tenth in (1, 4):
            places = rng.integers(tenth * length // 10, (tenth + 1) * length // 10, count)
            rows[np.arange(count), places] = 4 + rng.integers(2, size=count)
        return rows

    x = distinct_rows(draw, train + test)
    first, second = (x[x >= 4].reshape(-1, 2) - 4).T
    y = 2 * first + second
    source = f"synthetic: temporal order, {length} steps"
    return Task(source, *split_generated(x, y, train), outputs=4, vocabulary=6)


@data
def parity(seed: Count, train: Examples, test: Examples, length: Length) -> Task:
    """Is the number of ones among `length` bits odd? Every bit counts, and no part of them tells anything."""
    check_size(train + test, length)
    rng = np.random.default_rng(seed)
    x = distinct_rows(lambda rows: rng.integers(2, size=(rows, length), dtype=np.int32), train + test)
    y = (x.sum(1) % 2).astype(np.int32)
    return Task(f"synthetic: parity of {length} bits", *split_generated(x, y, train), outputs=2, vocabulary=2)
