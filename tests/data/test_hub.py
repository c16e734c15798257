"""data=hf: folders in the formats of the hub, offline; and the message if the hub cannot be reached."""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest

from tests.data.tasks import assert_refused, make_task, table

needs_datasets = pytest.mark.skipif(not importlib.util.find_spec("datasets"), reason="needs the extra hf")


@pytest.fixture
def write_folder(tmp_path, monkeypatch):
    """Write data frames as a folder that the library of the hub reads, with its cache beside it."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    (tmp_path / "user").mkdir()

    def write(**parts: pd.DataFrame) -> str:
        for name, frame in parts.items():
            frame.to_parquet(tmp_path / "user" / f"{name}.parquet")
        return str(tmp_path / "user")

    return write


@needs_datasets
def test_columns_of_numbers_predict_a_column_of_text(write_folder):
    task = make_task("hf", path=write_folder(train=table()), x=["age", "income"], y="city")
    assert (task.form.shape, task.outputs, len(task.train_x), len(task.test_x)) == ((2,), 2, 40, 10)


@needs_datasets
def test_a_test_set_is_kept_and_columns_of_vectors_are_vectors(write_folder):
    frames = {part: table().assign(wave=[list(row) for row in np.random.default_rng(n).random((50, 8))])
              for n, part in enumerate(("train", "test"))}  # fmt: skip
    task = make_task("hf", path=write_folder(**frames), x=["wave"], y="income", train=20)
    assert (task.train_x.shape, task.test_x.shape, task.metric) == ((20, 8), (50, 8), "r2")


@needs_datasets
def test_texts_are_characters(write_folder):
    frame = pd.DataFrame({"review": ["good, really good", "bad"] * 20, "label": [1, 0] * 20})
    task = make_task("hf", path=write_folder(train=frame), x=["review"], y="label", length=6)
    assert task.train_x.shape == (32, 6)
    ends = task.vocabulary - 1
    np.testing.assert_array_equal((task.train_x == ends).sum(1), np.where(task.train_y == 1, 0, 3))


@needs_datasets
def test_images_are_images(write_folder, tmp_path):
    datasets, pillow = pytest.importorskip("datasets"), pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    images = [pillow.fromarray(rng.integers(256, size=(8, 9, 3), dtype=np.uint8)) for _ in range(20)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    dataset = datasets.Dataset.from_dict({"image": images, "label": [0, 1] * 10}, features)
    dataset.to_parquet(str(tmp_path / "user" / "train.parquet"))
    assert make_task("hf", path=write_folder(), x=["image"], y="label").form.shape == (8, 9, 3)


@needs_datasets
def test_a_wrong_column_and_a_wrong_folder_are_reported(write_folder, tmp_path):
    path = write_folder(train=table())
    assert_refused("hf", "has no column 'agee'; did you mean 'age'?", path=path, x=["agee"], y="city")
    assert_refused("hf", "no column 'town'", path=path, x=["age"], y="town")
    assert_refused("hf", "text is taken from one column", path=path, x=["city", "age"], y="paid")
    assert_refused(
        "hf", "is neither a folder nor OWNER/NAME", path=str(tmp_path / "none"), x=["age"], y="city"
    )


@needs_datasets
def test_no_network_is_reported(monkeypatch):
    import datasets

    def offline(*_):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    assert_refused(
        "hf", "the hub cannot be reached for ylecun/mnist", path="ylecun/mnist", x=["image"], y="label"
    )


def test_no_package_and_no_path_are_reported(monkeypatch):
    assert_refused("hf", "data=hf needs data.path=NAME, data.x=[COLUMN] and data.y=COLUMN")
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert_refused("hf", "pip install 'gradlab-jax[hf]'", path="ylecun/mnist", x=["image"], y="label")
