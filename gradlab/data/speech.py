"""Sounds of a voice and of an instrument, synthesized, as log-mel frames."""

from typing import Annotated

import numpy as np

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
_WIDTHS = np.array([60, 90, 150])  # Hz of a formant's resonance
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
    """Which of up to ten English vowels was said? `length` frames of it, then a pause to hold it over; 10 ms each.

    Pulses of the glottis through three resonances (Klatt 1980); every example has another speaker: pitch of 90 to
    250 Hz, a vocal tract that raises the formants by up to 20 %. `noise` is white, beside a sound of power 1.
    """
    window, count, frames = 256, train + test, length + pause
    samples = window + (frames - 1) * HOP
    check_size(count, samples)
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=count, dtype=np.int32)
    waves = noise * rng.standard_normal((count, samples))
    voiced = min(samples, window + (length - 1) * HOP)
    for wave, formants in zip(waves, FORMANTS[y], strict=True):
        wave[:voiced] += _voice(formants, voiced, rng)
    x = log_mel(waves, RATE, window, HOP, bands)
    source = f"synthetic: {classes} vowels by formant synthesis, log-mel, {frames} frames of 10 ms"
    return _task(source, x, y, train, classes)


def _voice(formants: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """One speaker's vowel, of power 1: a train of pulses through the resonances of mouth and throat."""
    from scipy.signal import sosfilt  # slow to import: only when asked for

    size, vary = rng.random(), 1 + 0.03 * rng.standard_normal(3)
    pitch = (90 + 160 * size) * (1 + 0.1 * np.linspace(rng.uniform(-1, 1), rng.uniform(-1, 1), samples))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE + rng.random()), prepend=0)
    sound = sosfilt(resonators(formants * (1 + 0.2 * size) * vary), pulses)
    result: np.ndarray = sound / np.sqrt(np.mean(sound**2))
    return result


def resonators(formants: np.ndarray) -> np.ndarray:
    """One two-pole filter a formant, of gain 1 at 0 Hz: y ← (1 − B − C)x + B y₋₁ + C y₋₂ (Klatt 1980)."""
    radius = np.exp(-np.pi * _WIDTHS / RATE)
    B, C = 2 * radius * np.cos(2 * np.pi * formants / RATE), -(radius**2)
    zero, one = np.zeros(3), np.ones(3)
    return np.stack([1 - B - C, zero, zero, one, -B, -C], axis=1)


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
    """Which note is it, whatever the octave and the instrument? `classes` equal steps of an octave: 12 are semitones.

    Six harmonics of random strengths and phases over 220·2^(octave + class/classes) Hz, octave 0 or 1.
    """
    window, count = 512, train + test
    samples = window + (length - 1) * HOP
    check_size(count, samples)
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=count, dtype=np.int32)
    pitch = 220 * 2 ** (rng.integers(2, size=count) + y / classes + rng.normal(0, 0.1 / classes, count))
    turns = 2 * np.pi * pitch[:, None] * np.arange(samples) / RATE
    waves = noise * rng.standard_normal((count, samples))
    for harmonic in range(1, 7):
        strength, phase = rng.random((count, 1)) / harmonic, 2 * np.pi * rng.random((count, 1))
        waves += strength * np.sin(harmonic * turns + phase) * (harmonic * pitch[:, None] < RATE / 2)
    x = log_mel(waves, RATE, window, HOP, bands)
    source = f"synthetic: {classes} notes of an octave, log-mel, {length} frames of 10 ms"
    return _task(source, x, y, train, classes)


def _task(source: str, x: np.ndarray, y: np.ndarray, train: int, classes: int) -> Task:
    train_x, train_y, test_x, test_y = split_generated(x, y, train)
    train_x, test_x = standardize_channels(train_x, test_x)
    return Task(source, train_x, train_y, test_x, test_y, outputs=classes)
