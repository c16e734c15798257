"""A NumPy archive of the user's: arrays x and y, or x_train, y_train, x_test, y_test as in Keras's mnist.npz."""

import io
import zipfile
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from gradlab.data.files import Stream, check_count, opened, shown, user_path
from gradlab.data.sizes import check_bytes, check_size
from gradlab.data.standardization import standardize_channels, standardize_features
from gradlab.data.targets import Kind, check_finite, make_targets
from gradlab.data.task import Split, Task, data, split
from gradlab.recipe.bounds import Count, Fraction, Text
from gradlab.recipe.errors import RecipeError

Inputs = Literal["auto", "vectors", "sequences", "images", "tokens"]
_AXES = {"vectors": (2,), "sequences": (3,), "images": (3, 4), "tokens": (2,)}
_SPLIT_NAMES = ("x_train", "y_train", "x_test", "y_test")  # in the order of Split's fields
_VOCABULARY_LIMIT = 1_000_000
_READ = "biufU"  # NumPy's letters for numbers and text
_LISTED_NAMES = 10  # names of arrays in a message
_LARGEST_PART = 4 << 20  # bytes read at once: the list of members is, and 4 MiB are 90 000 members
_LONGEST_HEADER = 10_000  # bytes of an array's header, as in NumPy


@data
def npz(path: Text, inputs: Inputs, kind: Kind, seed: Count, test_fraction: Fraction) -> Task:
    """The task of the arrays in an .npz file.

    inputs: vectors (N, F), sequences (N, T, F), images (N, H, W) or (N, H, W, C), or tokens (N, T) as whole numbers.
    auto: two axes are vectors; three axes are images if they are bytes, else sequences; four axes are images.

    Raises:
        RecipeError: the file cannot be read, or the examples of the training and the test set differ in shape.
    """
    file = user_path(path, "npz")
    with opened(file, "npz", "an npz archive", at_once=_LARGEST_PART) as stream:
        arrays = _read_arrays(stream)
    place = f"data=npz: {file}"
    if "x" in arrays:
        _check_pair(arrays["x"], arrays["y"], place)
        examples = split(arrays["x"], arrays["y"], seed, test_fraction)
    else:
        examples = Split(*(arrays[name] for name in _SPLIT_NAMES))
        _check_pair(examples.train_x, examples.train_y, place)
        _check_pair(examples.test_x, examples.test_y, place)
    train_x, train_y, test_x, test_y = examples
    if train_x.shape[1:] != test_x.shape[1:]:
        raise RecipeError(
            f"{place}: an example of x_train has the shape {train_x.shape[1:]}, one of x_test {test_x.shape[1:]}"
        )
    targets = make_targets(train_y.reshape(-1), test_y.reshape(-1), kind, f"{place}, y")
    train_x, test_x, vocabulary = _inputs(train_x, test_x, inputs, place)
    shape = "×".join(map(str, train_x.shape[1:]))
    source = f"file: {shown(file.name)}, {len(train_x):,} and {len(test_x):,} of {shape}"
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


def _read_arrays(stream: Stream) -> dict[str, NDArray[Any]]:
    """The arrays x and y, or the four of `_SPLIT_NAMES`. Arrays of objects are refused: pickles may run code."""
    with zipfile.ZipFile(stream) as archive:
        members = [member.removesuffix(".npy") for member in archive.namelist()]
        names = _SPLIT_NAMES if "x_train" in members else ("x", "y")
        for name in names:
            if members.count(name) != 1:
                member_names = ", ".join(shown(member) for member in sorted(members)[:_LISTED_NAMES])
                number = "two arrays" if name in members else "no array"
                raise RecipeError(f"it has {number} '{name}'; there are: {member_names}")
        return {name: _read_array(archive, archive.infolist()[members.index(name)]) for name in names}


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """One array; its header is checked before memory is allocated."""
    with archive.open(member) as stream:
        header = io.BytesIO(stream.read(_LONGEST_HEADER))  # however long it says that it is
    version = npy.read_magic(header)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(header)
    if dtype.kind not in _READ:
        raise RecipeError(
            f"'{member.filename}' is of type {shown(str(dtype))}, not numbers; save it as numbers"
        )
    check_size(*shape)
    check_bytes(dtype.itemsize, *shape)
    if dtype.itemsize * prod(shape) > member.file_size:
        raise RecipeError(f"'{member.filename}' is shorter than its header says; is it cut off?")
    with archive.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)


def _check_pair(x: NDArray[Any], y: NDArray[Any], place: str) -> None:
    """Check that x holds enough examples (examples, …) of finite numbers, and y one target for each."""
    if x.ndim < 2 or x.dtype.kind == "U" or not x.size:
        raise RecipeError(f"{place}: x of shape {x.shape} and type {x.dtype} is not an array of examples")
    if len(x) != len(y) or y.size != len(y):
        raise RecipeError(
            f"{place}: x has {len(x)} examples and y has the shape {y.shape}; give one target per example"
        )
    check_count(len(x), "npz")
    check_finite(x, f"{place}, x")


def _inputs(
    train: NDArray[Any], test: NDArray[Any], inputs: Inputs, place: str
) -> tuple[NDArray[Any], NDArray[Any], int]:
    """The inputs of both sets as in a `Task`, and the vocabulary."""
    by_axes = {2: "vectors", 3: "images" if train.dtype == np.uint8 else "sequences", 4: "images"}
    input_type = by_axes.get(train.ndim, "") if inputs == "auto" else inputs
    if train.ndim not in _AXES.get(input_type, ()):
        raise RecipeError(f"{place}: x of shape {train.shape} cannot be read with data.inputs={inputs}")
    if input_type == "tokens":
        return _tokens(train, test, place)
    if input_type == "vectors":
        return *standardize_features(train, test), 0
    if input_type == "images" and train.ndim == 3:
        train, test = train[..., None], test[..., None]
    return *standardize_channels(train, test), 0


def _tokens(
    train: NDArray[Any], test: NDArray[Any], place: str
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    low, high = min(train.min(), test.min()), max(train.max(), test.max())
    if train.dtype.kind not in "iu" or test.dtype.kind not in "iu" or low < 0 or high >= _VOCABULARY_LIMIT:
        raise RecipeError(
            f"{place}: tokens must be whole numbers from 0 to {_VOCABULARY_LIMIT - 1}; "
            f"x contains values from {low} to {high}"
        )
    return train.astype(np.int32), test.astype(np.int32), int(high) + 1
