"""Arrays of the user: read according to their axes, or refused."""

import zipfile

import numpy as np
import pytest

from tests.data.tasks import assert_refused, cut, make_task, npz

GOOD = np.random.default_rng(0).random((40, 6, 5))
LABELS = np.arange(40) % 4


@pytest.mark.parametrize(
    ("x", "inputs", "shape"),
    [
        (GOOD[:, 0], "auto", (5,)),
        (GOOD, "auto", (6, 5)),
        (GOOD, "images", (6, 5, 1)),
        ((GOOD * 255).astype(np.uint8), "auto", (6, 5, 1)),
        (GOOD[..., None], "auto", (6, 5, 1)),
        ((GOOD[:, 0] * 9).astype(np.int64), "tokens", (5,)),
    ],
)
def test_arrays_are_read_according_to_their_axes(tmp_path, x, inputs, shape):
    np.savez_compressed(tmp_path / "user.npz", x=x, y=LABELS)
    task = make_task("npz", path=str(tmp_path / "user.npz"), inputs=inputs)
    assert task.form.shape == shape
    assert task.outputs == 4
    assert (task.vocabulary > 0) == (inputs == "tokens")


def test_keras_s_four_arrays_keep_their_split(tmp_path):
    images = (GOOD * 255).astype(np.uint8)
    arrays = {"x_train": images[:30], "y_train": LABELS[:30], "x_test": images[30:], "y_test": LABELS[30:]}
    np.savez(tmp_path / "mnist.npz", **arrays)
    task = make_task("npz", path=str(tmp_path / "mnist.npz"))
    assert task.train_x.shape == (30, 6, 5, 1)
    np.testing.assert_array_equal(task.test_y, LABELS[30:])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": GOOD, "z": LABELS}, "has no array 'y'; there are: x, z"),
        ({"x": GOOD, "y": LABELS[:39]}, "x has 40 examples and y has the shape (39,)"),
        ({"x": GOOD, "y": LABELS * 0}, "has only one class, 0"),
        ({"x": np.where(GOOD > 0.99, np.nan, GOOD), "y": LABELS}, "NaN or infinite values out of 1200"),
        ({"x": np.full_like(GOOD, np.inf), "y": LABELS}, "1200 NaN or infinite"),
        ({"x": GOOD[:6], "y": LABELS[:6]}, "6 examples are too few; give at least 10"),
        ({"x": GOOD[:, 0, 0], "y": LABELS}, "is not an array of examples"),
        ({"x": GOOD, "y": np.arange(40)}, "40 different whole numbers: set data.kind="),
        ({"x": GOOD.astype(object), "y": LABELS}, "is of type object, not numbers"),
        ({"x": GOOD.astype(str), "y": LABELS}, "is not an array of examples"),
        ({"x": GOOD[:, None, None], "y": LABELS}, "cannot be read with data.inputs=auto"),
    ],
)
def test_arrays_that_cannot_be_used_are_reported(tmp_path, arrays, message):
    np.savez(tmp_path / "user.npz", **arrays)
    assert_refused("npz", message, path=str(tmp_path / "user.npz"))


def test_a_cut_off_archive_is_reported(tmp_path):
    options = npz(tmp_path)
    cut(tmp_path, "user.npz", 500)
    assert_refused("npz", "cannot be read as an npz archive", **options)


def test_a_lying_header_in_an_archive_is_refused_before_anything_is_read(tmp_path):
    def member(shape: str) -> bytes:
        head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(800)

    for shape, message in (("(1000000, 1000000)", "numbers is more than"), ("(1000, 5)", "is it cut off?")):
        with zipfile.ZipFile(tmp_path / "user.npz", "w") as opened:
            opened.writestr("x.npy", member(shape))
            opened.writestr("y.npy", member("(100,)"))
        assert_refused("npz", message, path=str(tmp_path / "user.npz"))
