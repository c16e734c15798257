"""Images of simple shapes: a task for convolutional networks at any image size."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, ImageSide, check_size
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, NonNegative

# a point is inside where the function is below 1; u and v are rotated and scaled so that a shape extends to about 1
SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "disc": lambda u, v: np.hypot(u, v),
    "ring": lambda u, v: 4 * np.abs(np.hypot(u, v) - 0.75),
    "square": lambda u, v: 1.2 * np.maximum(np.abs(u), np.abs(v)),
    "frame": lambda u, v: 4.5 * np.abs(np.maximum(np.abs(u), np.abs(v)) - 0.65),
    "triangle": lambda u, v: 2 * np.maximum(-v, np.maximum(0.866 * u + 0.5 * v, 0.5 * v - 0.866 * u)),
    "cross": lambda u, v: np.maximum(np.maximum(np.abs(u), np.abs(v)), 4 * np.minimum(np.abs(u), np.abs(v))),
    "bar": lambda u, v: np.maximum(np.abs(u), 4 * np.abs(v)),
    "star": lambda u, v: np.hypot(u, v) / (0.65 + 0.35 * np.cos(5 * np.arctan2(v, u))),
}


@data
def shapes(
    seed: Count,
    train: Examples,
    test: Examples,
    classes: Annotated[int, Bound(int, 2, len(SHAPES))],
    size: ImageSide,
    noise: NonNegative,
) -> Task:
    """Images (examples, size, size, 1) of a disc, ring, square, frame, triangle, cross, bar or star in noise.

    Position, angle and size of a shape are random. The chance level is 1/classes.
    """
    count = train + test
    check_size(count, size, size)
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=count, dtype=np.int32)
    grid = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    images = np.stack([_image(list(SHAPES)[label], grid, rng) for label in y])
    images += noise * rng.standard_normal(images.shape, np.float32)
    train_x, train_y, test_x, test_y = split_generated(images[..., None], y, train)
    train_x, test_x = standardize_channels(train_x, test_x)
    source = f"synthetic: {classes} shapes, {size}×{size} pixels, noise {noise:g}"
    return Task(source, train_x, train_y, test_x, test_y, outputs=classes)


def _image(shape: str, grid: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """One shape, (size, size): 1 inside, 0 outside, with an edge one pixel wide; the grid is (2, size, size)."""
    angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.7)
    y, x = (grid - rng.uniform(-0.3, 0.3, (2, 1, 1))) / scale
    u, v = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    pixels_per_unit = len(x) * scale / 2
    image: NDArray[Any] = np.clip((1 - SHAPES[shape](u, v)) * pixels_per_unit + 0.5, 0, 1).astype(np.float32)
    return image
