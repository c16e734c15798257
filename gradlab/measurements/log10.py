"""Norms held as log10: −inf is an exact zero, +inf and NaN are numbers that are not finite."""

import numpy as np
from numpy.typing import NDArray


def is_not_finite(log10: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each is the log10 of a number that is not finite, of the same shape; −inf is that of zero."""
    return np.asarray(np.isnan(log10) | (log10 == np.inf))


def hypot(log10: NDArray[np.floating]) -> NDArray[np.floating]:
    """Norms given by log10 as one norm over the last axis: log10 √Σ 10^(2v), far outside any float's range too."""
    if log10.shape[-1] == 0:
        return np.full(log10.shape[:-1], -np.inf)
    if log10.shape[-1] == 1:
        return log10[..., 0]
    top = log10.max(-1, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0).astype(float)
    with np.errstate(divide="ignore", over="ignore"):  # norms of zero and infinity
        joined = shift[..., 0] + 0.5 * np.log10((10.0 ** (2 * (log10 - shift))).sum(-1))
    return np.asarray(joined)
