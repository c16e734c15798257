"""From a sound's pressure over time to what it holds of each pitch: spectra frame by frame."""

import numpy as np

RATE = 8000  # samples a second, as the telephone's
HOP = 80  # samples between two frames: 10 ms
FLOOR = 1e-6  # of a band's power, before the logarithm
_PIECE = 2**22  # samples that are cut into frames at once


def power(waves: np.ndarray, window: int, hop: int) -> np.ndarray:
    """(sounds, frames, window/2 + 1): |FFT|² of every frame under a Hann window."""
    frames = np.lib.stride_tricks.sliding_window_view(waves, window, axis=1)[:, ::hop]
    return np.square(np.abs(np.fft.rfft(frames * np.hanning(window), axis=2))) / window


def log_mel(waves: np.ndarray, rate: int, window: int, hop: int, bands: int) -> np.ndarray:
    """(sounds, frames, bands): ln of the power in bands that are equally wide to the ear, float32."""
    filters = mel_filters(rate, window, bands)
    step = max(1, _PIECE * hop // (window * waves.shape[1]))
    pieces = [power(waves[start : start + step], window, hop) for start in range(0, len(waves), step)]
    return np.concatenate([np.log(piece @ filters + FLOOR).astype(np.float32) for piece in pieces])


def mel_filters(rate: int, window: int, bands: int) -> np.ndarray:
    """(window/2 + 1, bands): triangles, equally spaced in mel = 2595·log10(1 + f/700) (O'Shaughnessy 1987)."""
    mel = np.linspace(0, 2595 * np.log10(1 + rate / 1400), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    f = np.arange(window // 2 + 1)[:, None] * rate / window
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0, np.minimum((f - low) / (middle - low), (high - f) / (high - middle)))
