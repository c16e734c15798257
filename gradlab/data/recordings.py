"""Sounds of the user's: a folder of WAV files per class, as log-mel frames."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.files import check_count, existing_folder
from gradlab.data.sizes import Length, check_size
from gradlab.data.sound import log_mel
from gradlab.data.speech import Bands
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Count, Fraction, Text
from gradlab.recipe.errors import RecipeError

_MOST_FILES = 100_000


@data
def wav(path: Text, seed: Count, test_fraction: Fraction, length: Length, bands: Bands) -> Task:
    """The class of a sound, from the first `length` frames of 10 ms of its file: (examples, length, bands).

    A shorter file is followed by silence. The files are PCM and have one sample rate; `path` has a folder per class.

    Raises:
        RecipeError: fewer than two of the folders contain WAV files.
    """
    folder = existing_folder(path, "wav")
    files = sorted(folder.glob("*/*.[wW][aA][vV]"))
    classes = sorted({file.parent.name for file in files})
    if len(classes) < 2:
        raise RecipeError(
            f"data=wav: {folder} has WAV files in {len(classes)} folders; "
            "give two or more classes, one folder per class"
        )
    check_count(len(files), "wav")
    rate = _sample_rate(files[0])
    window, hop = 2 * round(0.016 * rate), round(0.01 * rate)
    samples = window + (length - 1) * hop
    files = files[:_MOST_FILES]
    check_size(len(files), samples)
    waves = np.stack([_read_samples(file, rate, samples) for file in files])
    y = np.array([classes.index(file.parent.name) for file in files], np.int32)
    x = log_mel(waves, rate, window, hop, bands)
    train_x, train_y, test_x, test_y = split(x, y, seed, test_fraction)
    train_x, test_x = standardize_channels(train_x, test_x)
    source = f"file: {folder.name}, {len(x):,} sounds of {len(classes)} classes, log-mel, {length} frames"
    return Task(source, train_x, train_y, test_x, test_y, outputs=len(classes), metric="balanced_accuracy")


def _sample_rate(file: Path) -> int:
    with _open(file) as sound:
        rate = sound.getframerate()
    if not 1000 <= rate <= 200_000:
        raise RecipeError(f"{file} has a sample rate of {rate} Hz; it must be from 1 000 to 200 000 Hz")
    return rate


def _read_samples(file: Path, rate: int, samples: int) -> NDArray[Any]:
    """The first samples (samples,) in [−1, 1), the mean of the channels; zeros after the end of the file."""
    with _open(file) as sound:
        if sound.getframerate() != rate:
            raise RecipeError(
                f"{file} has a sample rate of {sound.getframerate()} Hz, the first file {rate} Hz; use one sample rate"
            )
        width, channels, available = sound.getsampwidth(), sound.getnchannels(), sound.getnframes()
        count = min(available, samples)
        content = sound.readframes(count)
    if not available or len(content) != count * width * channels:
        raise RecipeError(f"{file} has fewer samples than the {available} of its header; is it cut off?")
    mixed = _decode(content, width).reshape(-1, channels).mean(1)
    return np.pad(mixed, (0, samples - len(mixed)))


def _open(file: Path) -> wave.Wave_read:
    try:
        return wave.open(str(file), "rb")
    except (wave.Error, EOFError) as error:
        raise RecipeError(f"{file} is not a PCM WAV file: {error or 'it ends too early'}") from None


def _decode(content: bytes, width: int) -> NDArray[Any]:
    """PCM samples of `width` bytes as numbers in [−1, 1): one byte is unsigned, more are signed and little-endian."""
    if width == 1:
        return np.frombuffer(content, np.uint8) / 128.0 - 1
    if width == 3:  # a zero byte before each sample makes it an integer of four bytes
        padded = np.zeros((len(content) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return padded.view("<i4").ravel() / 2.0**31
    return np.frombuffer(content, f"<i{width}") / 2.0 ** (8 * width - 1)
