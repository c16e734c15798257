"""Small medical images: tissue with vessels, and a lesion in some of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, ImageSide, check_size
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Fraction, Positive


@data
def lesions(
    seed: Count, train: Examples, test: Examples, size: ImageSide, share: Fraction, contrast: Positive
) -> Task:
    """Images (examples, size, size, 1), of which the fraction `share` has a lesion (label 1); chance level 1/2.

    A lesion is a bright spot, `contrast` times the standard deviation of the tissue. Every image has a vessel, a bright
    line as wide as a lesion, and images without a lesion have a second one, so that brightness alone does not decide.
    """
    count = train + test
    check_size(count, size, size)
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < share).astype(np.int32)
    grid = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    images = _tissue(count, size, rng)
    for image, has_lesion in zip(images, y, strict=True):
        image += contrast * (_vessel(grid, rng) + (_lesion(grid, rng) if has_lesion else _vessel(grid, rng)))
    train_x, train_y, test_x, test_y = split_generated(images[..., None], y, train)
    train_x, test_x = standardize_channels(train_x, test_x)
    source = f"synthetic: tissue with a lesion or none, {size}×{size} pixels, contrast {contrast:g}"
    return Task(source, train_x, train_y, test_x, test_y, outputs=2, metric="balanced_accuracy")


def _tissue(count: int, size: int, rng: np.random.Generator) -> NDArray[Any]:
    """Smooth plus white noise of standard deviation 1, (images, size, size)."""
    from scipy.ndimage import gaussian_filter  # slow to import: only when needed

    smooth = gaussian_filter(rng.standard_normal((count, size, size)), (0, size / 16, size / 16))
    tissue: NDArray[Any] = 0.8 * smooth / smooth.std() + 0.6 * rng.standard_normal(smooth.shape)
    return tissue


def _lesion(grid: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """An ellipse with soft edges at a random place, (size, size); the grid is (2, size, size)."""
    angle, radii = rng.uniform(0, np.pi), rng.uniform(0.12, 0.25, 2)
    v, u = grid - rng.uniform(-0.7, 0.7, (2, 1, 1))
    along, across = np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u
    lesion: NDArray[Any] = np.exp(-((along / radii[0]) ** 2) - (across / radii[1]) ** 2)
    return lesion


def _vessel(grid: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """A curved line through the whole image, (size, size); the grid is (2, size, size)."""
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4)
    v, u = grid - rng.uniform(-0.6, 0.6, (2, 1, 1))
    along, across = np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u
    vessel: NDArray[Any] = 0.5 * np.exp(-(((across - bend * along**2) / 0.12) ** 2))
    return vessel
