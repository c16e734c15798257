"""CIFAR-10 in its published binary version (Krizhevsky 2009), in a folder of the user's."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.files import check_count, choose_rows, existing_folder, files_in, opened, shown
from gradlab.data.sizes import check_size
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Text
from gradlab.recipe.errors import RecipeError

_RECORD = 1 + 3 * 32 * 32  # bytes: a label, then the red, green and blue values, row by row
_LARGEST_BATCH = 100_000 * _RECORD  # bytes of a file
_MOST_BATCHES = 100  # files of a set; the training set has five


@data
def cifar10(path: Text, seed: Count, train: Count, test: Count) -> Task:
    """Colour images (examples, 32, 32, 3) of ten classes, from data_batch_1.bin … and test_batch.bin; chance level 0.1.

    The Python version consists of pickles, which may run code when they are read: it is refused. `train` and `test`
    are the numbers of examples that are drawn at random from each set, 0 for all.
    """
    folder, rng = existing_folder(path, "cifar10"), np.random.default_rng(seed)
    batches = files_in(folder, "data_batch_*.bin", "cifar10", _MOST_BATCHES)
    if not batches:
        only_pickles = (folder / "data_batch_1").exists()
        reason = "only the Python version, pickles that may run code; get the binary version"
        raise RecipeError(f"data=cifar10: {folder} has {reason if only_pickles else 'no data_batch_*.bin'}")
    train_x, train_y = _read_set(batches, train, "data.train", rng)
    test_x, test_y = _read_set([folder / "test_batch.bin"], test, "data.test", rng)
    source = f"file: {shown(folder.name)}, CIFAR-10, {len(train_x):,} and {len(test_x):,} images of 32×32"
    train_x, test_x = standardize_channels(train_x, test_x)
    return Task(source, train_x, train_y, test_x, test_y, outputs=10)


def _read_set(
    files: list[Path], count: int, key: str, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images (examples, 32, 32, 3) and labels (examples,): `count` random ones, or all for 0."""
    batches: list[NDArray[np.uint8]] = []
    for file in files:
        batches.append(_read_records(file))
        check_size(sum(map(len, batches)), _RECORD)
    records = np.concatenate(batches)
    check_count(len(records), "cifar10")
    records = records[choose_rows(len(records), count, key, rng)]
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, records[:, 0].astype(np.int32)


def _read_records(file: Path) -> NDArray[np.uint8]:
    """(examples, 3073): every record of a batch."""
    with opened(file, "cifar10", "a batch of CIFAR-10", _LARGEST_BATCH) as stream:
        if stream.length % _RECORD:
            raise RecipeError(
                f"it has {stream.length:,} bytes, which is not a multiple of a record's {_RECORD}; is it cut off?"
            )
        records = np.frombuffer(stream.read(), np.uint8).reshape(-1, _RECORD)
        if records[:, 0].max() > 9:
            raise RecipeError(f"it has a label {records[:, 0].max()}; the labels of CIFAR-10 are 0 to 9")
    return records
