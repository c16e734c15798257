"""Synthetic sounds of a voice and of an instrument, as log-mel frames."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, Length, check_size
from gradlab.data.sound import HOP, RATE, log_mel
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, NonNegative

# Hz of the first three formants, means of men (Peterson & Barney 1952): heed, hid, head, had, hod, hawed, hood, …
FORMANTS = np.array(
    [
        (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
        (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690),
    ]
)  # fmt: skip
_BANDWIDTHS = np.array([60, 90, 150])  # Hz of each formant's resonance
Bands = Annotated[int, Bound(int, 4, 128)]
Vowels = Annotated[int, Bound(int, 2, len(FORMANTS))]


@data
def vowels(
    seed: Count,
    train: Examples,
    test: Examples,
    classes: Vowels,
    length: Length,
    pause: Count,
    bands: Bands,
    noise: NonNegative,
) -> Task:
    """Which of up to ten English vowels is spoken: `length` frames of it, then `pause` frames of noise, 10 ms each.

    Inputs are (examples, length + pause, bands), labels (examples,). The vowels are synthesized by glottal pulses
    through three resonances (Klatt 1980). Every example has another speaker: a pitch of 90 to 250 Hz, and a vocal tract
    that raises the formants by up to 20 %. `noise` is the standard deviation of white noise; the vowel has power 1.
    """
    window, count, frames = 256, train + test, length + pause
    samples = window + (frames - 1) * HOP
    check_size(count, samples)
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=count, dtype=np.int32)
    waves = noise * rng.standard_normal((count, samples))
    voiced = min(samples, window + (length - 1) * HOP)
    for wave, formants in zip(waves, FORMANTS[y], strict=True):
        wave[:voiced] += _vowel(formants, voiced, rng)
    x = log_mel(waves, RATE, window, HOP, bands)
    source = f"synthetic: {classes} vowels by formant synthesis, log-mel, {frames} frames of 10 ms"
    return _task(source, x, y, train, classes)


def _vowel(formants: NDArray[Any], samples: int, rng: np.random.Generator) -> NDArray[Any]:
    """(samples,) of power 1: a train of pulses of a random speaker through the resonances of the vocal tract."""
    from scipy.signal import sosfilt  # slow to import: only when needed

    speaker, variation = rng.random(), 1 + 0.03 * rng.standard_normal(3)
    pitch = (90 + 160 * speaker) * (1 + 0.1 * np.linspace(rng.uniform(-1, 1), rng.uniform(-1, 1), samples))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE + rng.random()), prepend=0)
    sound = sosfilt(resonators(formants * (1 + 0.2 * speaker) * variation), pulses)
    vowel: NDArray[Any] = sound / np.sqrt(np.mean(sound**2))
    return vowel


def resonators(formants: NDArray[Any]) -> NDArray[Any]:
    """(3, 6): the coefficients of a two-pole filter per formant (3,), as SciPy's second-order sections.

    Gain 1 at 0 Hz: y ← (1 − B − C)x + B y₋₁ + C y₋₂ (Klatt 1980).
    """
    radius = np.exp(-np.pi * _BANDWIDTHS / RATE)
    B, C = 2 * radius * np.cos(2 * np.pi * formants / RATE), -(radius**2)
    zeros, ones = np.zeros(3), np.ones(3)
    return np.stack([1 - B - C, zeros, zeros, ones, -B, -C], axis=1)


@data
def tones(
    seed: Count,
    train: Examples,
    test: Examples,
    classes: Annotated[int, Bound(int, 2, 24)],
    length: Length,
    bands: Bands,
    noise: NonNegative,
) -> Task:
    """Which note is played, in any octave on any instrument: `classes` equal steps of an octave (12 are semitones).

    Inputs are (examples, length, bands), labels (examples,). A note is six harmonics of random amplitudes and phases
    over 220·2^(octave + class/classes) Hz, octave 0 or 1. `noise` is the standard deviation of white noise.
    """
    window, count = 512, train + test
    samples = window + (length - 1) * HOP
    check_size(count, samples)
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=count, dtype=np.int32)
    pitch = 220 * 2 ** (rng.integers(2, size=count) + y / classes + rng.normal(0, 0.1 / classes, count))
    angles = 2 * np.pi * pitch[:, None] * np.arange(samples) / RATE
    waves = noise * rng.standard_normal((count, samples))
    for harmonic in range(1, 7):
        amplitude, phase = rng.random((count, 1)) / harmonic, 2 * np.pi * rng.random((count, 1))
        audible = harmonic * pitch[:, None] < RATE / 2
        waves += amplitude * np.sin(harmonic * angles + phase) * audible
    x = log_mel(waves, RATE, window, HOP, bands)
    source = f"synthetic: {classes} notes of an octave, log-mel, {length} frames of 10 ms"
    return _task(source, x, y, train, classes)


def _task(source: str, x: NDArray[Any], y: NDArray[Any], train: int, classes: int) -> Task:
    train_x, train_y, test_x, test_y = split_generated(x, y, train)
    train_x, test_x = standardize_channels(train_x, test_x)
    return Task(source, train_x, train_y, test_x, test_y, outputs=classes)
