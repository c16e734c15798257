"""Language: foresee the next character of a text, or tell which chapter of a book a passage is from."""

from platform import python_version
from typing import Annotated

import numpy as np

from gradlab.data.characters import alphabet, tokens, unseen, windows
from gradlab.data.english import chapters
from gradlab.data.files import choose_rows, existing_file
from gradlab.data.sizes import Length, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, Fraction, Text
from gradlab.recipe.errors import RecipeError

_MOST = 64 << 20  # bytes of a text file


@data
def prose(seed: Count, train: Count, test: Count, length: Length, test_fraction: Fraction) -> Task:
    """The next character of English prose, at each of `length` steps; bits a character, 0 test windows trained on.

    The text is cut at a place: what is before it is for training. Letters by their shares alone cost 4.7 bits.
    """
    text = "\n\n".join(chapters().values())
    source = f"real: English prose, the manual of Python {python_version()}, {len(text):,} characters"
    return _language(source, text, seed, train, test, length, test_fraction)


@data
def text(path: Text, seed: Count, train: Count, test: Count, length: Length, test_fraction: Fraction) -> Task:
    """The next character of a text file of one's own, UTF-8, made as data=prose."""
    file = existing_file(path, "text", _MOST)
    try:
        content = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file} is not UTF-8 text (byte {error.start}); write it anew as UTF-8") from None
    source = f"file: {file.name}, {len(content):,} characters"
    return _language(source, content, seed, train, test, length, test_fraction)


def _language(
    source: str, text: str, seed: int, train: int, test: int, length: int, test_fraction: float
) -> Task:
    """Windows of the text before the cut and after it; the alphabet is that of the first."""
    cut = round(len(text) * (1 - test_fraction))
    check_size(len(text) // length + 1, length)
    known, rng = alphabet(text[:cut]), np.random.default_rng(seed)
    halves: list[np.ndarray] = []
    every: np.ndarray | None = None  # window of the first half
    for key, wanted, half in (("data.train", train, text[:cut]), ("data.test", test, text[cut:])):
        numbers = tokens(half, known)
        x, y = windows(numbers[:-1], length), windows(numbers[1:], length)
        new = unseen(x, every)
        every, x, y = x, x[new], y[new]
        if len(x) < 2:
            raise RecipeError(
                f"{len(half)} characters are no two windows of data.length={length} for {key}; "
                "give a shorter one, or a longer text"
            )
        rows = choose_rows(len(x), wanted, key, rng)
        halves += [x[rows], y[rows]]
    train_x, train_y, test_x, test_y = halves
    size = len(known) + 1
    return Task(source, train_x, train_y, test_x, test_y, outputs=size, vocabulary=size, metric="bits")


@data
def topics(
    seed: Count,
    classes: Annotated[int, Bound(int, 2, 12)],
    length: Length,
    test_fraction: Fraction,
) -> Task:
    """From which of the `classes` longest chapters of Python's manual is this passage? Balanced accuracy: 1/classes.

    Each chapter is cut at a place; a paragraph that stands in several chapters counts in the longest alone.
    """
    names = sorted(list(chapters())[:classes])
    rng = np.random.default_rng(seed)
    cuts = {name: round(len(chapters()[name]) * (1 - test_fraction)) for name in names}
    known = alphabet("".join(chapters()[name][: cuts[name]] for name in names))
    halves: list[np.ndarray] = []
    for half in ("train", "test"):
        x, y = [], []
        for label, name in enumerate(names):
            text, cut = chapters()[name], cuts[name]
            x.append(windows(tokens(text[:cut] if half == "train" else text[cut:], known), length))
            y.append(np.full(len(x[-1]), label, np.int32))
            if not len(x[-1]):
                raise RecipeError(
                    f"the chapter '{name}' has no {half} passage of data.length={length}; give less"
                )
        rows, labels = np.concatenate(x), np.concatenate(y)
        new = np.flatnonzero(unseen(rows, halves[0] if halves else None))
        order = rng.permutation(new)
        halves += [rows[order], labels[order]]
    source = f"real: passages of Python {python_version()}'s manual, chapters {', '.join(names)}"
    train_x, train_y, test_x, test_y = halves
    vocabulary = len(known) + 1
    return Task(
        source, train_x, train_y, test_x, test_y, classes, vocabulary=vocabulary, metric="balanced_accuracy"
    )
