"""Data sets of the Hugging Face hub, or the user's files in its formats: images, tables, short texts."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.characters import alphabet, tokens
from gradlab.data.files import check_count, check_tree, choose_rows, explained, shown
from gradlab.data.sizes import Length, check_size
from gradlab.data.standardization import standardize_channels, standardize_features
from gradlab.data.table_files import ColumnNames
from gradlab.data.targets import Kind, check_finite, make_targets
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Fraction, Text
from gradlab.recipe.errors import RecipeError, hint

_KIND = "a data set of the Hugging Face hub"
_MOST_FILES = 100_000  # files and folders of a folder of data
Pair = tuple[NDArray[Any], NDArray[Any]]  # of the training and the test set


@data
def hf(
    path: Text,
    subset: Text,
    x: ColumnNames,
    y: Text,
    kind: Kind,
    length: Length,
    seed: Count,
    train: Count,
    test: Count,
    test_fraction: Fraction,
) -> Task:
    """Predict column `y` from the columns `x`, of a data set on the hub or of a folder of Parquet or CSV files.

    x: one column of images, of vectors or of texts (their first `length` characters), or several columns of numbers.
    train, test: the numbers of examples that are drawn at random, 0 for all. A data set without a test set is split by
    the seed.

    Raises:
        RecipeError: `path`, `x` or `y` is missing, or the data set has no such column.
    """
    if not (path and x and y):
        raise RecipeError(
            "data=hf needs data.path=NAME, data.x=[COLUMN] and data.y=COLUMN, as in "
            "data.path=ylecun/mnist data.x=[image] data.y=label"
        )
    subsets = [
        part.with_format("numpy") for part in _load_split(path, subset, seed, train, test, test_fraction)
    ]
    where = f"data=hf: {path}"
    with explained(where, _KIND):
        names = [shown(name) for name in subsets[0].column_names]
        for column in (*x, y):
            if column not in subsets[0].column_names:
                raise RecipeError(f"it has no column '{column}'{hint(column, names)}")
        train_y, test_y = (_column(rows, y) for rows in subsets)
        (train_x, test_x), vocabulary = _inputs(subsets, x, length)
    targets = make_targets(train_y, test_y, kind, f"{where}, column '{y}'")
    source = f"file: {path} (Hugging Face), {len(train_x):,} and {len(test_x):,} examples, {', '.join(x)}"
    return Task(
        source,
        train_x,
        targets.train,
        test_x,
        targets.test,
        outputs=targets.outputs,
        vocabulary=vocabulary,
        metric=targets.metric,
    )


def _load_split(path: str, subset: str, seed: int, train: int, test: int, test_fraction: float) -> list[Any]:
    """The training and the test set as `datasets.Dataset`; their columns are not read yet."""
    splits, rng = _load(path, subset), np.random.default_rng(seed)
    if "train" not in splits:
        raise RecipeError(f"data=hf: {path} has no split 'train'; there are: {', '.join(splits)}")
    check_count(len(splits["train"]), "hf")
    if "test" not in splits:
        splits = splits["train"].train_test_split(test_fraction, seed=seed)
    return [
        splits[name].select(choose_rows(len(splits[name]), count, f"data.{name}", rng))
        for name, count in (("train", train), ("test", test))
    ]


def _load(path: str, subset: str) -> Any:
    """The `datasets.DatasetDict` of all splits."""
    try:
        from datasets import load_dataset  # optional, and slow to import
    except ImportError:
        raise RecipeError("data=hf needs the package datasets: pip install 'gradlab-jax[hf]'") from None
    with explained(f"data=hf: {path}", _KIND):
        if Path(path).is_dir():
            check_tree(Path(path), _MOST_FILES)
        elif not re.fullmatch(r"[\w.-]+/[\w.-]+", path):
            # the library takes a bare name such as "csv" for one of its readers, which reads the current folder
            raise RecipeError("it is neither a folder nor OWNER/NAME, such as ylecun/mnist")
        try:
            return load_dataset(path, subset or None)
        except ConnectionError:
            raise RecipeError(
                f"the hub cannot be reached for {path}, and it is not in the cache; go online once, or "
                "give a folder of files"
            ) from None


def _column(rows: Any, column: str) -> NDArray[Any]:
    """One column of a `datasets.Dataset` as (examples, …): numbers, or text of one axis."""
    values = np.asarray(rows.select_columns([column])[:][column])
    if values.dtype == object:
        is_text = all(isinstance(value, str) for value in values)
        values = np.array(values.tolist() if is_text else [None])
    if values.dtype == object or len(values) != len(rows):
        raise RecipeError(
            f"column '{column}': some examples differ in shape or are missing; all must have one shape"
        )
    return values


def _inputs(subsets: list[Any], columns: list[str], length: int) -> tuple[Pair, int]:
    """The inputs of the training and the test set as in a `Task`, and the vocabulary."""
    if len(columns) > 1:
        train, test = (np.stack([_column(rows, column) for column in columns], axis=1) for rows in subsets)
    else:
        train, test = (_column(rows, columns[0]) for rows in subsets)
    if train.dtype.kind == "U":
        if len(columns) > 1:
            raise RecipeError(f"text is taken from one column, got data.x={columns}")
        return _text_inputs(train, test, length)
    check_size(*train.shape)
    for values in (train, test):
        check_finite(values, f"columns {', '.join(columns)}")
    if train.ndim == 1:
        train, test = train[:, None], test[:, None]
    if train.shape[1:] != test.shape[1:] or train.ndim > 4:
        raise RecipeError(
            f"training examples have the shape {train.shape[1:]}, test examples {test.shape[1:]}; "
            "both must be the same, of at most three axes"
        )
    if train.ndim == 2:
        return standardize_features(train, test), 0
    if train.ndim == 3 and train.dtype == np.uint8:  # grey images
        train, test = train[..., None], test[..., None]
    return standardize_channels(train, test), 0


def _text_inputs(train: NDArray[Any], test: NDArray[Any], length: int) -> tuple[Pair, int]:
    """Tokens of both sets, and the vocabulary; the alphabet is that of the training set."""
    letters = alphabet("".join(train.tolist()))
    check_size(len(train), length)
    padding = len(letters) + 1
    train_x, test_x = (_padded_tokens(texts, letters, length, padding) for texts in (train, test))
    return (train_x, test_x), padding + 1


def _padded_tokens(
    texts: NDArray[Any], letters: dict[str, int], length: int, padding: int
) -> NDArray[np.int32]:
    """(texts, length): the tokens of the first characters of each text, then the token `padding`."""
    rows = np.full((len(texts), length), padding, np.int32)
    for row, text in zip(rows, texts.tolist(), strict=True):
        row[: len(text)] = tokens(text[:length], letters)
    return rows
