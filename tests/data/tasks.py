"""Data options as the tests make them: with the defaults of their files, and those that read files from small ones."""

import gzip
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from gradlab.data.task import Task, data
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF


def make_task(name: str, **options: Any) -> Task:
    """`gradlab run data=name data.key=…`, as far as the data go."""
    values = OmegaConf.to_container(OmegaConf.load(CONF / "data" / f"{name}.yaml"))
    return data.make(data.check(values.get("data", values) | options))


def idx(file: Path, values: np.ndarray) -> None:
    """Write unsigned bytes in LeCun's IDX format, gzipped if the name ends with .gz."""
    head = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    content = head + values.astype(np.uint8).tobytes()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


def mnist(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for part, count, end in (("train", 40, ".gz"), ("t10k", 12, "")):
        idx(folder / f"{part}-images-idx3-ubyte{end}", rng.integers(256, size=(count, 9, 7)))
        idx(folder / f"{part}-labels-idx1-ubyte{end}", np.arange(count) % 4)
    return {"path": str(folder)}


def cifar10(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for name, count in (("data_batch_1", 20), ("data_batch_2", 20), ("test_batch", 12)):
        records = rng.integers(256, size=(count, 3073))
        records[:, 0] = np.arange(count) % 10
        (folder / f"{name}.bin").write_bytes(records.astype(np.uint8).tobytes())
    return {"path": str(folder)}


def npz(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    np.savez(folder / "user.npz", x=rng.random((50, 6, 3)), y=np.arange(50) % 3)
    return {"path": str(folder / "user.npz")}


def table(rows: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns = {"age": rng.integers(18, 80, rows), "income": rng.normal(3, 1, rows)}
    return pd.DataFrame(
        {**columns, "city": ["Bonn", "Lyon"] * (rows // 2), "paid": [True, False] * (rows // 2)}
    )


def csv(folder: Path) -> dict[str, Any]:
    table().to_csv(folder / "user.csv", index=False)
    return {"path": str(folder / "user.csv"), "target": "paid", "words": "one_hot"}


def parquet(folder: Path) -> dict[str, Any]:
    table().to_parquet(folder / "user.parquet")
    return {"path": str(folder / "user.parquet"), "target": "income", "drop": ["city"]}


def text(folder: Path) -> dict[str, Any]:
    words = np.random.default_rng(0).choice("the cat sat on a mat and looked at me".split(), 500)
    (folder / "user.txt").write_text(" ".join(words), "utf-8")
    return {"path": str(folder / "user.txt"), "length": 20}


def sound(file: Path, samples: np.ndarray, rate: int = 8000, width: int = 2, channels: int = 1) -> None:
    file.parent.mkdir(exist_ok=True)
    with wave.open(str(file), "wb") as opened:
        opened.setnchannels(channels)
        opened.setsampwidth(width)
        opened.setframerate(rate)
        opened.writeframes(samples.tobytes())


def wav(folder: Path) -> dict[str, Any]:
    for name, pitch in (("low", 300), ("high", 900)):
        for number in range(8):
            turns = 2 * np.pi * pitch * np.arange(4000) / 8000 + number
            sound(folder / name / f"{number}.wav", (9000 * np.sin(turns)).astype("<i2"))
    return {"path": str(folder), "length": 20, "bands": 10}


FILES = {
    "mnist": mnist,
    "cifar10": cifar10,
    "npz": npz,
    "csv": csv,
    "parquet": parquet,
    "text": text,
    "wav": wav,
}


def assert_refused(name: str, message: str, **options: Any) -> None:
    """Making the data raises RecipeError with `message`, in one line."""
    with pytest.raises(RecipeError) as error:
        make_task(name, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def cut(folder: Path, name: str, bytes_left: int) -> None:
    """Keep only the first bytes of a file, decompressed."""
    file = folder / name
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    file.write_bytes(content[:bytes_left])
