"""Pictures of plain shapes: a job for a convolutional network, whatever the size."""

from typing import Annotated

import numpy as np

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, ImageSide, check_size
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, NonNegative

# inside where the number is below 1, in coordinates turned and scaled so that a shape reaches about 1
SHAPES = {
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
    """Disc, ring, square, frame, triangle, cross, bar or star, at any place, angle and size, in noise: 1/classes."""
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


def _image(shape: str, grid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One shape, 1 inside and 0 outside, its edge a pixel soft."""
    angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.7)
    y, x = (grid - rng.uniform(-0.3, 0.3, (2, 1, 1))) / scale
    u, v = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    soft = len(x) * scale / 2  # pixels a unit
    result: np.ndarray = np.clip((1 - SHAPES[shape](u, v)) * soft + 0.5, 0, 1).astype(np.float32)
    return result
