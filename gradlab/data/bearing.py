"""Vibration of a ball bearing that is healthy or has one of three faults: industrial diagnosis."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, Length, check_size
from gradlab.data.sound import power
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, NonNegative
from gradlab.recipe.errors import RecipeError

RATE = 6000  # samples per second
SHAFT_RATE = 1797 / 60  # turns of the shaft per second
# the geometry of the SKF 6205: number of balls, their diameter and that of the circle they run on, in mm
BALLS, BALL_DIAMETER, PITCH_DIAMETER = 9, 7.94, 39.04
FAULTS = ("healthy", "outer race", "inner race", "ball")
_WINDOW = 32  # samples of a frame, 5 ms: shorter than the time between two impacts
_RESONANCE, _DECAY = 1500, 900  # frequency in Hz and decay rate in 1/s of the oscillation after an impact


def frequencies(shaft_rate: float) -> dict[str, float]:
    """Impacts per second of each fault at contact angle 0 (BPFO, BPFI, 2·BSF), and turns of the cage per second.

    A fault of a ball hits both races in each of its turns, hence 2·BSF.
    """
    ratio = BALL_DIAMETER / PITCH_DIAMETER
    return {
        "outer race": BALLS / 2 * shaft_rate * (1 - ratio),
        "inner race": BALLS / 2 * shaft_rate * (1 + ratio),
        "ball": shaft_rate / ratio * (1 - ratio**2),
        "cage": shaft_rate / 2 * (1 - ratio),
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
    """Whether a bearing is healthy or has a fault of its outer race, inner race or a ball; chance level 1/4.

    The input is `length` samples at 6 kHz: by=signal the samples (examples, length, 1), by=spectrum the log power of
    frames of 32 samples, one every 16: (examples, frames, 17). Labels are (examples,). Every impact excites an
    oscillation of 1.5 kHz; the intervals between impacts vary by 1 %, the speed by 2 %. The rotation of the shaft
    modulates the impacts of an inner race, the rotation of the cage those of a ball.

    Raises:
        RecipeError: `length` is too short for two frames of a spectrum.
    """
    count = train + test
    check_size(count, length)
    if by == "spectrum" and length < 2 * _WINDOW:
        raise RecipeError(
            f"data.length={length} is too short for frames of {_WINDOW} samples; give {2 * _WINDOW} or more"
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


def _vibration(fault: str, samples: int, rng: np.random.Generator) -> NDArray[Any]:
    """(samples,): the oscillation of the shaft and, with a fault, that of its impacts, of amplitude 0.5 to 1.5."""
    from scipy.signal import lfilter  # slow to import: only when needed

    shaft_rate = SHAFT_RATE * rng.uniform(0.98, 1.02)
    t = np.arange(samples) / RATE
    shaft = 0.3 * np.sin(2 * np.pi * (shaft_rate * t + rng.random()))
    if fault == "healthy":
        return shaft
    rates = frequencies(shaft_rate)
    interval = RATE / rates[fault]
    intervals = interval * (1 + 0.01 * rng.standard_normal(int(samples / interval * 1.2) + 4))
    indices = (np.cumsum(intervals) - interval * rng.random()).astype(int)
    modulation_rate = {"outer race": 0.0, "inner race": shaft_rate, "ball": rates["cage"]}[fault]
    load = (
        1 + 0.8 * np.cos(2 * np.pi * (modulation_rate * t + rng.random()))
        if modulation_rate
        else np.ones(samples)
    )
    impacts = np.zeros(samples)
    impacts[indices[(indices >= 0) & (indices < samples)]] = 1
    radius, angle = np.exp(-_DECAY / RATE), 2 * np.pi * _RESONANCE / RATE
    response = lfilter([np.sin(angle)], [1, -2 * radius * np.cos(angle), radius**2], impacts * load)
    vibration: NDArray[Any] = shaft + rng.uniform(0.5, 1.5) * response
    return vibration
