"""CIFAR-10 from the data set's own binary version (Krizhevsky 2009), in a folder of one's own."""

from pathlib import Path

import numpy as np

from gradlab.data.files import check_count, choose_rows, existing_folder
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Text
from gradlab.recipe.errors import RecipeError

_RECORD = 1 + 3 * 32 * 32  # a label, then red, green and blue, row by row
_MOST = 100_000 * _RECORD  # bytes of a batch


@data
def cifar10(path: Text, seed: Count, train: Count, test: Count) -> Task:
    """32×32 colour images of ten classes: data_batch_1.bin … and test_batch.bin; chance 0.1.

    The Python version is a pickle, which may run code when read: it is refused. `train`, `test`: how many, 0 all.
    """
    place, rng = existing_folder(path, "cifar10"), np.random.default_rng(seed)
    train_x, train_y = _part(place, "data_batch_*.bin", train, "data.train", rng)
    test_x, test_y = _part(place, "test_batch.bin", test, "data.test", rng)
    source = f"file: {place.name}, CIFAR-10, {len(train_x):,} and {len(test_x):,} images of 32×32"
    train_x, test_x = standardize_channels(train_x, test_x)
    return Task(source, train_x, train_y, test_x, test_y, outputs=10)


def _part(
    place: Path, pattern: str, wanted: int, key: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    files = sorted(place.glob(pattern))
    if not files:
        pickled = (place / "data_batch_1").exists()
        told = "the Python version, pickles that may run code; get the binary version" if pickled else pattern
        raise RecipeError(f"data=cifar10: {place} has {'only' if pickled else 'no'} {told}")
    records = np.concatenate([_records(file) for file in files])
    check_count(len(records), "cifar10")
    records = records[choose_rows(len(records), wanted, key, rng)]
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, records[:, 0].astype(np.int32)


def _records(file: Path) -> np.ndarray:
    size = file.stat().st_size
    if not 0 < size <= _MOST or size % _RECORD:
        raise RecipeError(f"{file} has {size:,} bytes, not a number of records of {_RECORD}; is it cut off?")
    records = np.fromfile(file, np.uint8).reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        raise RecipeError(f"{file} has a label {records[:, 0].max()}; CIFAR-10's are 0 to 9")
    return records
