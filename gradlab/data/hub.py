"""Data sets of the Hugging Face hub, or files of one's own in its formats: images, tables, short texts."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from gradlab.data.characters import alphabet, tokens
from gradlab.data.files import check_count, choose_rows
from gradlab.data.sizes import Length, check_size
from gradlab.data.standardization import standardize_channels, standardize_features
from gradlab.data.table_files import ColumnNames
from gradlab.data.targets import Kind, check_finite, make_targets
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Fraction, Text
from gradlab.recipe.errors import RecipeError, hint

Pair = tuple[np.ndarray, np.ndarray]


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
    """Columns `x` foretell column `y` of a data set by its name on the hub, or of a folder of Parquet or CSV files.

    One column of images, of vectors or of texts (their first `length` characters), or several of numbers.
    `train`, `test`: how many examples, 0 all; a set without a test part is split by the seed.
    """
    if not (path and x and y):
        raise RecipeError(
            "data=hf needs data.path=NAME, data.x=[COLUMN] and data.y=COLUMN, as in "
            "data.path=ylecun/mnist data.x=[image] data.y=label"
        )
    rows = [part.with_format("numpy") for part in _parts(path, subset, seed, train, test, test_fraction)]
    where = f"data=hf: {path}"
    for column in (*x, y):
        if column not in rows[0].column_names:
            raise RecipeError(f"{where} has no column '{column}'{hint(column, rows[0].column_names)}")
    train_y, test_y = (_column(part, y, where) for part in rows)
    told = make_targets(train_y, test_y, kind, f"{where}, column '{y}'")
    (train_x, test_x), vocabulary = _inputs(rows, x, length, where)
    source = f"file: {path} (Hugging Face), {len(train_x):,} and {len(test_x):,} examples, {', '.join(x)}"
    return Task(source, train_x, told.train, test_x, told.test, told.outputs, vocabulary, told.metric)


def _parts(path: str, subset: str, seed: int, train: int, test: int, test_fraction: float) -> list[Any]:
    """The training and the test part, not read yet."""
    found = _loaded(path, subset)
    if "train" not in found:
        raise RecipeError(f"data=hf: {path} has no part 'train'; there are: {', '.join(found)}")
    if "test" not in found:
        found = found["train"].train_test_split(test_fraction, seed=seed)
    rng = np.random.default_rng(seed)
    check_count(len(found["train"]), "hf")
    return [
        found[part].select(choose_rows(len(found[part]), wanted, f"data.{part}", rng))
        for part, wanted in (("train", train), ("test", test))
    ]


def _loaded(path: str, subset: str) -> Any:
    try:
        from datasets import load_dataset  # an extra, and slow to import
    except ImportError:
        raise RecipeError("data=hf needs the package datasets: pip install 'gradlab-jax[hf]'") from None
    from datasets.exceptions import DatasetsError

    if not (Path(path).is_dir() or re.fullmatch(r"[\w.-]+/[\w.-]+", path)):
        # a bare name may be one of the library's own readers, which would read whatever lies in this folder
        raise RecipeError(f"data=hf: data.path={path} is neither a folder nor OWNER/NAME, as ylecun/mnist")
    try:
        return load_dataset(path, subset or None)
    except ConnectionError:
        raise RecipeError(
            f"data=hf: the hub cannot be reached for {path}, and it is not in the cache; go online once, or "
            "give a folder of files"
        ) from None
    except (
        OSError,
        ValueError,
        RuntimeError,
        DatasetsError,
    ) as error:  # not there, not readable, no such subset
        raise RecipeError(f"data=hf: {path}: {' '.join(str(error).split())[:200]}") from None


def _column(part: Any, column: str, where: str) -> np.ndarray:
    found = np.asarray(part[:][column])
    if found.dtype == object:
        found = np.array(found.tolist() if all(isinstance(one, str) for one in found) else [None])
    if found.dtype == object or len(found) != len(part):
        raise RecipeError(
            f"{where}, column '{column}': the examples differ in shape, or some are missing; make them alike"
        )
    return found


def _inputs(parts: list[Any], columns: list[str], length: int, where: str) -> tuple[Pair, int]:
    """Both parts as a Task has them, and the vocabulary."""
    if len(columns) > 1:
        train, test = (np.stack([_column(part, one, where) for one in columns], axis=1) for part in parts)
    else:
        train, test = (_column(part, columns[0], where) for part in parts)
    if train.dtype.kind == "U":
        if len(columns) > 1:
            raise RecipeError(f"{where}: text is taken from one column, got data.x={columns}")
        return _texts(train, test, length)
    check_size(*train.shape)
    check_finite(train, f"{where}, columns {', '.join(columns)}")
    if train.ndim == 1:
        train, test = train[:, None], test[:, None]
    if train.shape[1:] != test.shape[1:] or train.ndim > 4:
        raise RecipeError(f"{where}: examples of shape {train.shape[1:]} and, for testing, {test.shape[1:]}")
    if train.ndim == 2:
        return standardize_features(train, test), 0
    if train.ndim == 3 and train.dtype == np.uint8:  # grey images
        train, test = train[..., None], test[..., None]
    return standardize_channels(train, test), 0


def _texts(train: np.ndarray, test: np.ndarray, length: int) -> tuple[Pair, int]:
    """The first `length` characters of each, as whole numbers; behind a shorter one stands the highest."""
    known = alphabet("".join(train.tolist()))
    check_size(len(train), length)
    end = len(known) + 1

    def cut(texts: np.ndarray) -> np.ndarray:
        rows = np.full((len(texts), length), end, np.int32)
        for row, text in zip(rows, texts.tolist(), strict=True):
            row[: len(text)] = tokens(text[:length], known)
        return rows

    return (cut(train), cut(test)), end + 1
