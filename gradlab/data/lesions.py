"""Small medical pictures: tissue with vessels, and in some of them a lesion."""

import numpy as np

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, ImageSide, check_size
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Fraction, Positive


@data
def lesions(
    seed: Count, train: Examples, test: Examples, size: ImageSide, share: Fraction, contrast: Positive
) -> Task:
    """Is there a lesion, a bright spot of `contrast` deviations of the tissue? In `share` of them; chance 1/2.

    Every picture has a vessel, a bright line as wide as a lesion, so that brightness alone tells nothing.
    """
    count = train + test
    check_size(count, size, size)
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < share).astype(np.int32)
    grid = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    images = _tissue(count, size, rng)
    for image, ill in zip(images, y, strict=True):
        image += contrast * (_vessel(grid, rng) + (_lesion(grid, rng) if ill else _vessel(grid, rng)))
    train_x, train_y, test_x, test_y = split_generated(images[..., None], y, train)
    train_x, test_x = standardize_channels(train_x, test_x)
    source = f"synthetic: tissue with a lesion or none, {size}×{size} pixels, contrast {contrast:g}"
    return Task(source, train_x, train_y, test_x, test_y, outputs=2, metric="balanced_accuracy")


def _tissue(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth and fine noise, deviation 1."""
    from scipy.ndimage import gaussian_filter  # slow to import: only when asked for

    smooth = gaussian_filter(rng.standard_normal((count, size, size)), (0, size / 16, size / 16))
    result: np.ndarray = 0.8 * smooth / smooth.std() + 0.6 * rng.standard_normal(smooth.shape)
    return result


def _lesion(grid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An ellipse with soft edges, anywhere."""
    angle, axes = rng.uniform(0, np.pi), rng.uniform(0.12, 0.25, 2)
    v, u = grid - rng.uniform(-0.7, 0.7, (2, 1, 1))
    along, across = np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u
    result: np.ndarray = np.exp(-((along / axes[0]) ** 2) - (across / axes[1]) ** 2)
    return result


def _vessel(grid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A bent line through the picture."""
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4)
    v, u = grid - rng.uniform(-0.6, 0.6, (2, 1, 1))
    along, across = np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u
    result: np.ndarray = 0.5 * np.exp(-(((across - bend * along**2) / 0.12) ** 2))
    return result
