"""The vibration of a ball bearing, healthy or with one of three faults: industrial diagnosis."""

from typing import Literal

import numpy as np

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, Length, check_size
from gradlab.data.sound import power
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, NonNegative
from gradlab.recipe.errors import RecipeError

RATE = 6000  # samples a second
TURN = 1797 / 60  # Hz of the shaft
BALLS, BALL, PITCH = (
    9,
    7.94,
    39.04,
)  # of the SKF 6205: number and diameter of balls, of the circle they run on, mm
FAULTS = ("healthy", "outer race", "inner race", "ball")
_WINDOW = 32  # samples of a frame, 5 ms: shorter than the time between two blows
_RING, _DECAY = 1500, 900  # Hz and 1/s of the resonance that every blow sets off


def frequencies(turn: float) -> dict[str, float]:
    """Blows a second at contact angle 0: BPFO, BPFI, 2·BSF (a ball's flaw meets both races); and the cage's turns."""
    ratio = BALL / PITCH
    return {
        "outer race": BALLS / 2 * turn * (1 - ratio),
        "inner race": BALLS / 2 * turn * (1 + ratio),
        "ball": turn / ratio * (1 - ratio**2),
        "cage": turn / 2 * (1 - ratio),
    }


@data
def bearing(
    seed: Count,
    train: Examples,
    test: Examples,
    length: Length,
    noise: NonNegative,
    by: Literal["signal", "spectrum"],
) -> Task:
    """Healthy, or a fault of the outer race, the inner race or a ball? `length` samples at 6 kHz, chance 1/4.

    Every blow rings at 1.5 kHz; blows slip by 1 %, the speed varies by 2 %; the shaft's turn modulates an inner
    race's blows, the cage's a ball's. by=spectrum: log power of frames of 32 samples, every 16: (time, 17).
    """
    count = train + test
    check_size(count, length)
    if by == "spectrum" and length < 2 * _WINDOW:
        raise RecipeError(
            f"data.length={length} is too short for frames of {_WINDOW}; give {2 * _WINDOW} or more"
        )
    rng = np.random.default_rng(seed)
    y = rng.integers(len(FAULTS), size=count, dtype=np.int32)
    waves = np.stack([_vibration(FAULTS[label], length, rng) for label in y])
    waves += noise * rng.standard_normal(waves.shape)
    x = waves[:, :, None] if by == "signal" else np.log(power(waves, _WINDOW, _WINDOW // 2) + 1e-3)
    train_x, train_y, test_x, test_y = split_generated(x, y, train)
    train_x, test_x = standardize_channels(train_x, test_x)
    source = f"synthetic: vibration of an SKF 6205 bearing, {length} samples at {RATE} Hz, noise {noise:g}"
    return Task(source, train_x, train_y, test_x, test_y, outputs=len(FAULTS))


def _vibration(fault: str, samples: int, rng: np.random.Generator) -> np.ndarray:
    """One recording: the shaft's slow swing and, where there is a fault, its ringing blows of height 0.5 to 1.5."""
    from scipy.signal import lfilter  # slow to import: only when asked for

    turn = TURN * rng.uniform(0.98, 1.02)
    t = np.arange(samples) / RATE
    swing = 0.3 * np.sin(2 * np.pi * (turn * t + rng.random()))
    if fault == "healthy":
        return swing
    rate = frequencies(turn)
    mean = RATE / rate[fault]
    steps = mean * (1 + 0.01 * rng.standard_normal(int(samples / mean * 1.2) + 4))
    places = (np.cumsum(steps) - mean * rng.random()).astype(int)
    slow = {"outer race": 0.0, "inner race": turn, "ball": rate["cage"]}[fault]
    load = 1 + 0.8 * np.cos(2 * np.pi * (slow * t + rng.random())) if slow else np.ones(samples)
    blows = np.zeros(samples)
    blows[places[(places >= 0) & (places < samples)]] = 1
    radius, angle = np.exp(-_DECAY / RATE), 2 * np.pi * _RING / RATE
    ring = lfilter([np.sin(angle)], [1, -2 * radius * np.cos(angle), radius**2], blows * load)
    result: np.ndarray = swing + rng.uniform(0.5, 1.5) * ring
    return result
