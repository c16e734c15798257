"""Arrays brought to mean 0 and standard deviation 1 by the statistics of the training set."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def standardize_features(train: NDArray[Any], test: NDArray[Any]) -> tuple[Float32, Float32]:
    """Both sets, (examples, …) each, standardized entry by entry; an entry that is constant in `train` becomes 0 there.

    Mean and standard deviation are those of `train`, over its examples.
    """
    mean, deviation = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    first, second = (((x - mean) / deviation).astype(np.float32) for x in (train, test))
    return first, second


def standardize_channels(train: NDArray[Any], test: NDArray[Any]) -> tuple[Float32, Float32]:
    """Both sets, (examples, …, channels) each, standardized channel by channel over examples, positions and time steps.

    Mean and standard deviation are those of `train`. Unlike entry by entry, a pixel that is nearly always 0 stays
    small. All arithmetic is in float32 and in place, so that a large set needs only one copy.
    """
    first, second = train.astype(np.float32), test.astype(np.float32)
    axes = tuple(range(first.ndim - 1))
    mean = first.mean(axes, dtype=np.float64).astype(np.float32)
    first -= mean
    flat = first.reshape(-1, first.shape[-1])
    deviation = np.sqrt(np.einsum("nc,nc->c", flat, flat, dtype=np.float64) / len(flat))
    deviation[deviation <= 1e-4 * np.abs(mean)] = 1  # constant except for rounding
    second -= mean
    for x in (first, second):
        x /= deviation.astype(np.float32)
    return first, second
