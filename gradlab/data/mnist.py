"""MNIST, Fashion-MNIST and other data sets in four IDX files, gzipped or not, in a folder of the user's."""

import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.files import Stream, check_count, choose_rows, existing_folder, files_in, opened, shown
from gradlab.data.sizes import LARGEST_ARRAY, check_size
from gradlab.data.standardization import standardize_channels
from gradlab.data.targets import make_targets
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Text
from gradlab.recipe.errors import RecipeError

_LARGEST_IDX = LARGEST_ARRAY + (1 << 20)  # bytes of a file: a header and its numbers, gzipped or not
_MOST_FILES = 1000  # in the folder; there are four
_GZIP = 31  # zlib's number for its largest window and a gzip header
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
    source = f"file: {shown(folder.name)}, {len(train_x):,} and {len(test_x):,} images of {size}"
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
    files = files_in(folder, f"*{stem}[-.]idx*", "mnist", _MOST_FILES)
    if not files:
        raise RecipeError(
            f"data=mnist: {folder} has no {stem}-idx…-ubyte or {stem}-idx…-ubyte.gz; "
            "are these the four files as they were published?"
        )
    return files[0]


def read_idx(file: Path, axes: int) -> NDArray[np.uint8]:
    """The array of `axes` axes in an IDX file of unsigned bytes.

    Raises:
        RecipeError: the file cannot be read, or its header is not that of such an array of the file's length.
    """
    with opened(file, "mnist", "an IDX file", _LARGEST_IDX) as stream:
        head = 4 + 4 * axes
        start = _read(file, stream, head)
        if start[:3] != bytes([0, 0, _UNSIGNED_BYTES]) or start[3:4] != bytes([axes]):
            raise RecipeError(f"it is not an IDX file of unsigned bytes with {axes} axes")
        shape = np.frombuffer(start, ">u4", offset=4).tolist() if len(start) == head else [0]
        check_size(*shape)  # before memory is allocated: the header may be wrong
        stream.seek(0)
        content = _read(file, stream, head + prod(shape) + 1)[head:]
        if len(content) != prod(shape) or not content:
            raise RecipeError(
                f"it has a header of {' × '.join(map(str, shape))} bytes and contains "
                f"{'more' if len(content) > prod(shape) else len(content)}; is it cut off?"
            )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read(file: Path, stream: Stream, count: int) -> bytes:
    """The first `count` bytes, decompressed if the name ends with .gz: no more is decompressed than is asked for."""
    if file.suffix != ".gz":
        return stream.read(count)
    decompressor = zlib.decompressobj(_GZIP)
    content = decompressor.decompress(stream.read(), count)
    if len(content) < count and not decompressor.eof:
        raise RecipeError("it cannot be read: its gzip stream is cut off")
    return content
