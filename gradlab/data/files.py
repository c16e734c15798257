"""Files of a user's own, looked at before they are read."""

from pathlib import Path

import numpy as np

from gradlab.recipe.errors import RecipeError, hint

MOST = 4 << 30  # bytes of a file that is read whole
FEWEST = 10  # examples that are worth a split


def found(path: str, name: str, most: int = MOST) -> Path:
    """The file at `data.path`, there and not empty."""
    file = _place(path, name, "FILE")
    if not file.is_file():
        raise RecipeError(f"data={name}: {file} is no file{_near(file)}")
    size = file.stat().st_size
    if not 0 < size <= most:
        told = "is empty" if not size else f"has {size:,} bytes, more than {most:,}"
        raise RecipeError(f"data={name}: {file} {told}")
    return file


def folder(path: str, name: str) -> Path:
    """The folder at `data.path`."""
    place = _place(path, name, "FOLDER")
    if not place.is_dir():
        raise RecipeError(f"data={name}: {place} is no folder{_near(place)}")
    return place


def enough(count: int, name: str) -> None:
    """Refuse what is too small to learn from."""
    if count < FEWEST:
        raise RecipeError(f"data={name}: {count} examples are too few; give at least {FEWEST}")


def _place(path: str, name: str, kind: str) -> Path:
    if not path:
        raise RecipeError(f"data={name} needs data.path={kind}")
    return Path(path).expanduser()


def _near(place: Path) -> str:
    """What lies beside it that may have been meant."""
    if place.exists():
        return ""
    if not place.parent.is_dir():
        return f"; there is no folder {place.parent}"
    beside = [one.name for one in place.parent.iterdir()][:1000]
    told = hint(place.name, beside)
    return told if told.startswith("; did") else "; there is nothing of this name"


def chosen(there: int, wanted: int, key: str, rng: np.random.Generator) -> np.ndarray:
    """Which of the examples there are: `wanted` of them by chance, or for 0 all, in random order."""
    if wanted > there:
        raise RecipeError(
            f"{key}={wanted} is more than the {there} there are; give at most that, or 0 for all"
        )
    return rng.permutation(there)[: wanted or there]
