"""Sounds of one's own: a folder of folders of WAV files, a folder a class, as log-mel frames."""

import wave
from pathlib import Path

import numpy as np

from gradlab.data.files import check_count, existing_folder
from gradlab.data.sizes import Length, check_size
from gradlab.data.sound import log_mel
from gradlab.data.speech import Bands
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Count, Fraction, Text
from gradlab.recipe.errors import RecipeError

_MOST = 100_000  # files


@data
def wav(path: Text, seed: Count, test_fraction: Fraction, length: Length, bands: Bands) -> Task:
    """The first `length` frames of 10 ms of every file, silence behind a shorter one; PCM of one sample rate."""
    place = existing_folder(path, "wav")
    files = sorted(place.glob("*/*.[wW][aA][vV]"))
    names = sorted({file.parent.name for file in files})
    if len(names) < 2:
        raise RecipeError(
            f"data=wav: {place} has WAV files in {len(names)} folders; give two classes or more, a folder each"
        )
    check_count(len(files), "wav")
    rate = _rate(files[0])
    window, hop = 2 * round(0.016 * rate), round(0.01 * rate)
    samples = window + (length - 1) * hop
    check_size(min(len(files), _MOST), samples)
    waves = np.stack([_wave(file, rate, samples) for file in files[:_MOST]])
    y = np.array([names.index(file.parent.name) for file in files[:_MOST]], np.int32)
    x = log_mel(waves, rate, window, hop, bands)
    train_x, train_y, test_x, test_y = split(x, y, seed, test_fraction)
    train_x, test_x = standardize_channels(train_x, test_x)
    source = f"file: {place.name}, {len(x):,} sounds of {len(names)} classes, log-mel, {length} frames"
    return Task(source, train_x, train_y, test_x, test_y, outputs=len(names), metric="balanced_accuracy")


def _rate(file: Path) -> int:
    with _opened(file) as sound:
        rate = sound.getframerate()
    if not 1000 <= rate <= 200_000:
        raise RecipeError(f"{file} has {rate} samples a second; 1 000 to 200 000 can be sound")
    return rate


def _wave(file: Path, rate: int, samples: int) -> np.ndarray:
    """Its first samples as numbers of at most 1, the mean of its channels."""
    with _opened(file) as sound:
        if sound.getframerate() != rate:
            raise RecipeError(
                f"{file} has {sound.getframerate()} samples a second, the first file {rate}; make them equal"
            )
        width, channels, there = sound.getsampwidth(), sound.getnchannels(), sound.getnframes()
        wanted = min(there, samples)
        content = sound.readframes(wanted)
    if not there or len(content) != wanted * width * channels:
        raise RecipeError(f"{file} holds less than the {there} samples of its header; is it cut off?")
    mixed = _numbers(content, width).reshape(-1, channels).mean(1)
    return np.pad(mixed, (0, samples - len(mixed)))


def _opened(file: Path) -> wave.Wave_read:
    try:
        return wave.open(str(file), "rb")
    except (wave.Error, EOFError) as error:
        raise RecipeError(
            f"{file} is no WAV file of whole numbers (PCM): {error or 'it ends too early'}"
        ) from None


def _numbers(content: bytes, width: int) -> np.ndarray:
    """PCM as numbers in [−1, 1): bytes have no sign, all others do, the least byte first."""
    if width == 1:
        return np.frombuffer(content, np.uint8) / 128.0 - 1
    if width == 3:  # an empty byte before each, and they are whole numbers of four
        padded = np.zeros((len(content) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return padded.view("<i4").ravel() / 2.0**31
    return np.frombuffer(content, f"<i{width}") / 2.0 ** (8 * width - 1)
