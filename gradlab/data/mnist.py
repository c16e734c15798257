"""MNIST, Fashion-MNIST and other data sets in four IDX files, gzipped or not, in a folder of the user's."""

import gzip
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.files import check_count, choose_rows, existing_file, existing_folder
from gradlab.data.sizes import check_size
from gradlab.data.standardization import standardize_channels
from gradlab.data.targets import make_targets
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Text
from gradlab.recipe.errors import RecipeError

_UNSIGNED_BYTES = 0x08  # the type code in an IDX header; the next byte is the number of axes


@data
def mnist(path: Text, seed: Count, train: Count, test: Count) -> Task:
    """Images (examples, height, width, 1) of the files train-images, train-labels, t10k-images and t10k-labels.

    The files are in LeCun's IDX format. The published split is kept; `train` and `test` are the numbers of examples
    that are drawn at random from each set, 0 for all.

    Raises:
        RecipeError: training and test images differ in size.
    """
    folder, rng = existing_folder(path, "mnist"), np.random.default_rng(seed)
    train_x, train_y = _read_set(folder, "train", train, "data.train", rng)
    test_x, test_y = _read_set(folder, "t10k", test, "data.test", rng)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise RecipeError(
            f"data=mnist: training images are {train_x.shape[1:]}, test images {test_x.shape[1:]}"
        )
    labels = make_targets(train_y, test_y, "classification", f"data=mnist: {folder}")
    size = "×".join(map(str, train_x.shape[1:3]))
    source = f"file: {folder.name}, {len(train_x):,} and {len(test_x):,} images of {size}"
    train_x, test_x = standardize_channels(train_x, test_x)
    return Task(source, train_x, labels.train, test_x, labels.test, labels.outputs, metric=labels.metric)


def _read_set(
    folder: Path, name: str, count: int, key: str, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images (examples, height, width, 1) and labels (examples,) as bytes: `count` random ones, or all for 0."""
    images = read_idx(_find_file(folder, f"{name}-images"), axes=3)
    labels = read_idx(_find_file(folder, f"{name}-labels"), axes=1)
    if len(images) != len(labels):
        raise RecipeError(f"data=mnist: {len(images)} {name} images have {len(labels)} labels")
    check_count(len(images), "mnist")
    rows = choose_rows(len(images), count, key, rng)
    return images[rows, :, :, None], labels[rows]


def _find_file(folder: Path, stem: str) -> Path:
    """The file `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, with any prefix and suffix."""
    files = sorted(file for file in folder.glob(f"*{stem}[-.]idx*") if file.is_file())
    if not files:
        raise RecipeError(
            f"data=mnist: {folder} has no {stem}-idx…-ubyte or {stem}-idx…-ubyte.gz; "
            "are these the four files as they were published?"
        )
    return existing_file(str(files[0]), "mnist")


def read_idx(file: Path, axes: int) -> NDArray[np.uint8]:
    """The array of `axes` axes in an IDX file of unsigned bytes.

    Raises:
        RecipeError: the file cannot be read, or its header is not that of such an array of the file's length.
    """
    open_file = gzip.open if file.suffix == ".gz" else open
    try:
        with open_file(file, "rb") as stream:
            header = stream.read(4 + 4 * axes)
            if header[:3] != bytes([0, 0, _UNSIGNED_BYTES]) or header[3:4] != bytes([axes]):
                raise RecipeError(f"{file} is not an IDX file of unsigned bytes with {axes} axes")
            complete = len(header) == 4 + 4 * axes
            shape = np.frombuffer(header, ">u4", offset=4).tolist() if complete else [0]
            check_size(*shape)  # before memory is allocated: the header may be wrong
            content = stream.read(prod(shape) + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise RecipeError(f"{file} cannot be read: {error}") from None
    if len(content) != prod(shape) or not content:
        raise RecipeError(
            f"{file} has a header of {' × '.join(map(str, shape))} bytes and contains "
            f"{'more' if len(content) > prod(shape) else len(content)}; is it cut off?"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
