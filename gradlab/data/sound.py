"""Log-mel frames: the power of a sound in bands of frequency, frame by frame."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 8000  # Hz, the sample rate of telephones
HOP = 80  # samples between two frames: 10 ms
POWER_FLOOR = 1e-6  # added to the power of a band before the logarithm
_SAMPLES_AT_ONCE = 2**22  # samples in frames that are held in memory at once


def power(waves: NDArray[Any], window: int, hop: int) -> NDArray[Any]:
    """(sounds, frames, window/2 + 1): |FFT|² of every frame of `waves` (sounds, samples) under a Hann window."""
    frames = np.lib.stride_tricks.sliding_window_view(waves, window, axis=1)[:, ::hop]
    spectrum: NDArray[Any] = np.square(np.abs(np.fft.rfft(frames * np.hanning(window), axis=2))) / window
    return spectrum


def log_mel(waves: NDArray[Any], rate: int, window: int, hop: int, bands: int) -> NDArray[np.float32]:
    """(sounds, frames, bands): ln of the power of `waves` (sounds, samples) in bands of equal width in mel."""
    filters = mel_filters(rate, window, bands)
    step = max(1, _SAMPLES_AT_ONCE * hop // (window * waves.shape[1]))
    spectra = [power(waves[start : start + step], window, hop) for start in range(0, len(waves), step)]
    return np.concatenate(
        [np.log(spectrum @ filters + POWER_FLOOR).astype(np.float32) for spectrum in spectra]
    )


def mel_filters(rate: int, window: int, bands: int) -> NDArray[Any]:
    """(window/2 + 1, bands): triangles, equally spaced in mel = 2595·log10(1 + f/700) (O'Shaughnessy 1987)."""
    mel = np.linspace(0, 2595 * np.log10(1 + rate / 1400), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    f = np.arange(window // 2 + 1)[:, None] * rate / window
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    filters: NDArray[Any] = np.maximum(
        0, np.minimum((f - low) / (middle - low), (high - f) / (high - middle))
    )
    return filters
