"""MNIST and CIFAR-10 in their published formats: read correctly, or refused."""

import numpy as np
import pytest

from tests.data.tasks import assert_refused, cifar10, cut, idx, make_task, mnist


def test_mnist_s_pixels_and_labels_are_those_of_the_files(tmp_path):
    task = make_task("mnist", **mnist(tmp_path))
    assert task.form.shape == (9, 7, 1)
    assert (len(task.train_x), len(task.test_x), task.outputs) == (40, 12, 4)
    np.testing.assert_array_equal(np.bincount(task.train_y), 10)
    assert abs(task.train_x.mean()) < 1e-5
    assert make_task("mnist", **mnist(tmp_path), train=10, test=10).train_x.shape == (10, 9, 7, 1)


@pytest.mark.parametrize("left", [0, 2, 9, 16, 100])
def test_a_cut_off_idx_file_is_reported(tmp_path, left):
    options = mnist(tmp_path)
    cut(tmp_path, "t10k-images-idx3-ubyte", left)
    assert_refused("mnist", "t10k-images-idx3-ubyte", **options)


def test_a_cut_off_gzip_is_reported(tmp_path):
    options = mnist(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:200])
    assert_refused("mnist", "cannot be read", **options)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "numbers is more than"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 0]) + b"\x00" * 8, "0 × 0 × 0 bytes and contains more"),
        (bytes([0, 0, 13, 3]) + b"\x00" * 12, "is not an IDX file of unsigned bytes"),
        (b"PK\x03\x04" + b"\x00" * 12, "is not an IDX file of unsigned bytes"),
    ],
)
def test_a_lying_idx_header_is_refused_before_anything_is_read(tmp_path, head, message):
    options = mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(head + bytes(100))
    assert_refused("mnist", message, **options)


def test_images_without_as_many_labels_are_reported(tmp_path):
    options = mnist(tmp_path)
    idx(tmp_path / "t10k-labels-idx1-ubyte", np.arange(11))
    assert_refused("mnist", "12 t10k images have 11 labels", **options)
    idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(12))
    idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(40))
    assert_refused("mnist", "has only one class", **options)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert_refused("mnist", "has no t10k-labels-idx", **options)


def test_more_examples_than_there_are_is_reported(tmp_path):
    assert_refused(
        "mnist", "data.train=41 is more than the 40 available examples", **mnist(tmp_path), train=41
    )


def test_cifar10_s_records_are_a_label_and_three_planes_of_colour(tmp_path):
    task = make_task("cifar10", **cifar10(tmp_path))
    record = np.fromfile(tmp_path / "test_batch.bin", np.uint8).reshape(-1, 3073)[task.test_y[0]]
    image, pixels = record[1:].reshape(3, 32, 32).transpose(1, 2, 0).astype(float), task.test_x[0]
    assert task.form.shape == (32, 32, 3)
    for colour in range(3):  # standardized: a line of slope above 0 in each colour
        assert np.corrcoef(image[..., colour].ravel(), pixels[..., colour].ravel())[0, 1] > 0.999
    np.testing.assert_array_equal(np.bincount(task.train_y), 4)


def test_a_cut_off_batch_is_reported(tmp_path):
    options = cifar10(tmp_path)
    cut(tmp_path, "test_batch.bin", 3000)
    assert_refused("cifar10", "which is not a multiple of a record's 3073; is it cut off?", **options)
    (tmp_path / "test_batch.bin").write_bytes(bytes([11]) + bytes(3072))
    assert_refused("cifar10", "has a label 11", **options)


def test_pickles_are_refused_by_name(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x04.")
    assert_refused("cifar10", "pickles that may run code; get the binary version", path=str(tmp_path))
