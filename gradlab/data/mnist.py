"""MNIST, Fashion-MNIST and whatever else comes as four IDX files, gzipped or not, from a folder of one's own."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from gradlab.data.files import check_count, choose_rows, existing_file, existing_folder
from gradlab.data.sizes import check_size
from gradlab.data.standardization import standardize_channels
from gradlab.data.targets import make_targets
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Text
from gradlab.recipe.errors import RecipeError

_BYTES = 0x08  # of an IDX file: unsigned bytes; the next byte is the number of axes


@data
def mnist(path: Text, seed: Count, train: Count, test: Count) -> Task:
    """Images of the folder's train-images, train-labels, t10k-images and t10k-labels (LeCun's IDX format).

    The published split stays; `train` and `test` take so many of each by chance, 0 all.
    """
    place, rng = existing_folder(path, "mnist"), np.random.default_rng(seed)
    train_x, train_y = _part(place, "train", train, rng)
    test_x, test_y = _part(place, "t10k", test, rng)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise RecipeError(
            f"data=mnist: training images are {train_x.shape[1:]}, test images {test_x.shape[1:]}"
        )
    labels = make_targets(train_y, test_y, "classification", f"data=mnist: {place}")
    size = "×".join(map(str, train_x.shape[1:3]))
    source = f"file: {place.name}, {len(train_x):,} and {len(test_x):,} images of {size}"
    train_x, test_x = standardize_channels(train_x, test_x)
    return Task(source, train_x, labels.train, test_x, labels.test, labels.outputs, metric=labels.metric)


def _part(place: Path, name: str, wanted: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    images, labels = idx(_file(place, f"{name}-images"), 3), idx(_file(place, f"{name}-labels"), 1)
    if len(images) != len(labels):
        raise RecipeError(f"data=mnist: {len(images)} {name} images have {len(labels)} labels")
    check_count(len(images), "mnist")
    rows = choose_rows(len(images), wanted, f"data.{'train' if name == 'train' else 'test'}", rng)
    return images[rows, :, :, None], labels[rows]


def _file(place: Path, stem: str) -> Path:
    """`train-images-idx3-ubyte` or `train-images.idx3-ubyte`, whatever stands before or behind."""
    files = sorted(one for one in place.glob(f"*{stem}[-.]idx*") if one.is_file())
    if not files:
        raise RecipeError(
            f"data=mnist: {place} has no {stem}-idx…-ubyte or {stem}-idx…-ubyte.gz; "
            "are these the four files as they were published?"
        )
    return existing_file(str(files[0]), "mnist")


def idx(file: Path, axes: int) -> np.ndarray:
    """The unsigned bytes of an IDX file: its header is believed only where the length agrees."""
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rb") as stream:
            head = stream.read(4 + 4 * axes)
            if head[:3] != bytes([0, 0, _BYTES]) or head[3:4] != bytes([axes]):
                raise RecipeError(f"{file} is no IDX file of bytes with {axes} axes")
            shape = np.frombuffer(head, ">u4", offset=4).tolist() if len(head) == 4 + 4 * axes else [0]
            check_size(*shape)
            content = stream.read(prod(shape) + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise RecipeError(f"{file} cannot be read: {error}") from None
    if len(content) != prod(shape) or not content:
        raise RecipeError(
            f"{file} has a header of {' × '.join(map(str, shape))} bytes and holds "
            f"{'more' if len(content) > prod(shape) else len(content)}; is it cut off?"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
