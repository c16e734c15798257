"""Language: predict the next character of a text, or the chapter of a book that a passage comes from."""

from io import TextIOWrapper
from platform import python_version
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from gradlab.data.characters import alphabet, tokens, unseen, windows
from gradlab.data.english import chapters
from gradlab.data.files import choose_rows, explained, opened, shown, user_path
from gradlab.data.sizes import Length, check_size
from gradlab.data.task import Split, Task, data
from gradlab.recipe.bounds import Bound, Count, Fraction, Text
from gradlab.recipe.errors import RecipeError

_LARGEST_TEXT = 64 << 20  # bytes of a file


@data
def prose(seed: Count, train: Count, test: Count, length: Length, test_fraction: Fraction) -> Task:
    """The next character of English prose at each of `length` steps; tokens (windows, length), scored in bits.

    The last `test_fraction` of the text is for the test set, and windows that occur in the training set too are left
    out of it. Predicting every character by its frequency scores 4.7 bits per character.
    """
    text = "\n\n".join(chapters().values())
    source = f"real: English prose, the manual of Python {python_version()}, {len(text):,} characters"
    return _next_character_task(source, text, seed, train, test, length, test_fraction)


@data
def text(path: Text, seed: Count, train: Count, test: Count, length: Length, test_fraction: Fraction) -> Task:
    """The next character of a UTF-8 text file of the user's; otherwise as `prose`.

    Raises:
        RecipeError: the file cannot be read, or is not UTF-8.
    """
    file = user_path(path, "text")
    with opened(file, "text", "UTF-8 text", _LARGEST_TEXT) as stream:
        try:
            content = TextIOWrapper(stream, "utf-8").read()
        except UnicodeDecodeError as error:
            raise RecipeError(f"it is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    source = f"file: {shown(file.name)}, {len(content):,} characters"
    with explained(f"data=text: {file}", "text"):
        return _next_character_task(source, content, seed, train, test, length, test_fraction)


def _next_character_task(
    source: str, text: str, seed: int, train: int, test: int, length: int, test_fraction: float
) -> Task:
    """Windows of the text before and after its split point; the alphabet is that of the text before it."""
    split_point = round(len(text) * (1 - test_fraction))
    train_text, test_text = text[:split_point], text[split_point:]
    check_size(len(text) // length + 1, length)
    letters, rng = alphabet(train_text), np.random.default_rng(seed)
    arrays: list[NDArray[np.int32]] = []
    train_windows: NDArray[np.int32] | None = None
    for key, count, section in (("data.train", train, train_text), ("data.test", test, test_text)):
        numbers = tokens(section, letters)
        x, y = windows(numbers[:-1], length), windows(numbers[1:], length)
        new = unseen(x, train_windows)
        train_windows, x, y = x, x[new], y[new]
        if len(x) < 2:
            raise RecipeError(
                f"{len(section)} characters are fewer than two windows of data.length={length} for {key}; "
                "use a shorter length, or a longer text"
            )
        rows = choose_rows(len(x), count, key, rng)
        arrays += [x[rows], y[rows]]
    vocabulary = len(letters) + 1
    return Task(source, *Split(*arrays), outputs=vocabulary, vocabulary=vocabulary, metric="bits")


@data
def topics(
    seed: Count,
    classes: Annotated[int, Bound(int, 2, 12)],
    length: Length,
    test_fraction: Fraction,
) -> Task:
    """Which of the `classes` longest chapters of Python's manual a passage comes from; chance level 1/classes.

    Inputs are tokens (passages, length). The last `test_fraction` of each chapter is for the test set; a paragraph that
    occurs in several chapters is counted in the longest one only.

    Raises:
        RecipeError: a chapter is too short for one training and one test passage of `length` characters.
    """
    names = sorted(list(chapters())[:classes])
    rng = np.random.default_rng(seed)
    split_points = {name: round(len(chapters()[name]) * (1 - test_fraction)) for name in names}
    train_texts = {name: chapters()[name][: split_points[name]] for name in names}
    test_texts = {name: chapters()[name][split_points[name] :] for name in names}
    letters = alphabet("".join(train_texts.values()))
    train_rows, train_labels = _passages(train_texts, letters, length, "train")
    order = rng.permutation(len(train_rows))
    train_x, train_y = train_rows[order], train_labels[order]
    test_rows, test_labels = _passages(test_texts, letters, length, "test")
    order = rng.permutation(np.flatnonzero(unseen(test_rows, train_x)))
    source = f"real: passages of Python {python_version()}'s manual, chapters {', '.join(names)}"
    return Task(
        source,
        train_x,
        train_y,
        test_rows[order],
        test_labels[order],
        outputs=classes,
        vocabulary=len(letters) + 1,
        metric="balanced_accuracy",
    )


def _passages(
    texts: dict[str, str], letters: dict[str, int], length: int, subset: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Tokens (passages, length) of all texts, and the number of each one's chapter (passages,)."""
    passages = [windows(tokens(text, letters), length) for text in texts.values()]
    for name, rows in zip(texts, passages, strict=True):
        if not len(rows):
            raise RecipeError(
                f"the chapter '{name}' has no {subset} passage of data.length={length}; use a shorter length"
            )
    labels = [np.full(len(rows), label, np.int32) for label, rows in enumerate(passages)]
    return np.concatenate(passages), np.concatenate(labels)
