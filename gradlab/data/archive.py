"""Arrays of one's own in a NumPy archive: x and y, or x_train, y_train, x_test, y_test as Keras's mnist.npz."""

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib import format as npy

from gradlab.data.files import check_count, existing_file
from gradlab.data.sizes import check_size
from gradlab.data.standardization import standardize_channels, standardize_features
from gradlab.data.targets import Kind, check_finite, make_targets
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Count, Fraction, Text
from gradlab.recipe.errors import RecipeError

Inputs = Literal["auto", "vectors", "sequences", "images", "tokens"]
_AXES = {"vectors": (2,), "sequences": (3,), "images": (3, 4), "tokens": (2,)}
_PARTS = ("x_train", "y_train", "x_test", "y_test")


@data
def npz(path: Text, inputs: Inputs, kind: Kind, seed: Count, test_fraction: Fraction) -> Task:
    """Vectors (N, F), sequences (N, T, F), images (N, H, W) and (N, H, W, C), or tokens (N, T) of whole numbers.

    auto: two axes are vectors, four are images, three are images where they are bytes and sequences elsewhere.
    """
    file = existing_file(path, "npz")
    arrays = _arrays(file)
    for x, y in (("x_train", "y_train"), ("x_test", "y_test")) if "x_train" in arrays else (("x", "y"),):
        _whole(arrays[x], arrays[y], file)
    if "x" in arrays:
        train_x, train_y, test_x, test_y = split(arrays["x"], arrays["y"], seed, test_fraction)
    else:
        train_x, train_y, test_x, test_y = (arrays[key] for key in _PARTS)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise RecipeError(f"{file}: x_train is {train_x.shape[1:]} an example, x_test {test_x.shape[1:]}")
    told = make_targets(train_y.reshape(-1), test_y.reshape(-1), kind, f"{file}, y")
    train_x, test_x, vocabulary = _inputs(train_x, test_x, inputs, file)
    source = (
        f"file: {file.name}, {len(train_x):,} and {len(test_x):,} of {'×'.join(map(str, train_x.shape[1:]))}"
    )
    return Task(source, train_x, told.train, test_x, told.test, told.outputs, vocabulary, told.metric)


def _arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays that are needed; each one's header is looked at before it is read, objects are refused."""
    try:
        with zipfile.ZipFile(file) as opened:
            there = {one.filename.removesuffix(".npy"): one for one in opened.infolist()}
            keys = _PARTS if "x_train" in there else ("x", "y")
            missing = [key for key in keys if key not in there]
            if missing:
                raise RecipeError(
                    f"{file} has no array '{missing[0]}'; there are: {', '.join(sorted(there))[:200]}"
                )
            return {key: _array(opened, there[key], file) for key in keys}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(
            f"{file} cannot be read as an npz archive: {' '.join(str(error).split())[:160]}"
        ) from None


def _array(opened: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path) -> np.ndarray:
    with opened.open(member) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read(stream)
    if kind.kind not in "biufU":
        raise RecipeError(f"{file}: '{member.filename}' holds {kind}, not numbers; save it as numbers")
    check_size(*shape)
    if kind.itemsize * int(np.prod(shape, dtype=object)) > member.file_size:
        raise RecipeError(f"{file}: '{member.filename}' is shorter than its header says; is it cut off?")
    with opened.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)


def _whole(x: np.ndarray, y: np.ndarray, file: Path) -> None:
    """Refuse arrays that do not belong together."""
    if x.ndim < 2 or x.dtype.kind == "U":
        raise RecipeError(f"{file}: x of shape {x.shape} and kind {x.dtype} is no array of examples")
    if len(x) != len(y) or y.size != len(y):
        raise RecipeError(f"{file}: {len(x)} examples in x, y of shape {y.shape}; give one target for each")
    check_count(len(x), "npz")
    check_finite(x, f"{file}, x")


def _inputs(
    train: np.ndarray, test: np.ndarray, inputs: Inputs, file: Path
) -> tuple[np.ndarray, np.ndarray, int]:
    """Both parts as a Task has them, and the vocabulary."""
    usual = {2: "vectors", 3: "images" if train.dtype == np.uint8 else "sequences", 4: "images"}
    meant = usual.get(train.ndim, "") if inputs == "auto" else inputs
    if train.ndim not in _AXES.get(meant, ()):
        raise RecipeError(f"{file}: x of shape {train.shape} cannot be data.inputs={inputs}")
    if meant == "tokens":
        return _tokens(train, test, file)
    if meant == "vectors":
        return *standardize_features(train, test), 0
    if meant == "images" and train.ndim == 3:
        train, test = train[..., None], test[..., None]
    return *standardize_channels(train, test), 0


def _tokens(train: np.ndarray, test: np.ndarray, file: Path) -> tuple[np.ndarray, np.ndarray, int]:
    low, high = min(train.min(), test.min()), max(train.max(), test.max())
    if train.dtype.kind not in "iu" or test.dtype.kind not in "iu" or low < 0 or high >= 1_000_000:
        raise RecipeError(f"{file}: tokens are whole numbers from 0 to 999999; x has {low} to {high}")
    return train.astype(np.int32), test.astype(np.int32), int(high) + 1
