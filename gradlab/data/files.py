"""The user's files: checked before they are read."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradlab.recipe.errors import RecipeError, hint

LARGEST_FILE = 4 << 30  # bytes of a file that is read at once
FEWEST_EXAMPLES = 10


def existing_file(path: str, name: str, largest: int = LARGEST_FILE) -> Path:
    """The file at `data.path` of the data set `name`.

    Raises:
        RecipeError: no path is given, there is no such file, or it is empty or has more than `largest` bytes.
    """
    file = _expanded(path, name, "FILE")
    if not file.is_file():
        raise RecipeError(f"data={name}: {file} is not a file{_suggestion(file)}")
    size = file.stat().st_size
    if not 0 < size <= largest:
        problem = f"has {size:,} bytes, more than {largest:,}" if size else "is empty"
        raise RecipeError(f"data={name}: {file} {problem}")
    return file


def existing_folder(path: str, name: str) -> Path:
    """The folder at `data.path` of the data set `name`.

    Raises:
        RecipeError: no path is given, or there is no such folder.
    """
    folder = _expanded(path, name, "FOLDER")
    if not folder.is_dir():
        raise RecipeError(f"data={name}: {folder} is not a folder{_suggestion(folder)}")
    return folder


def check_count(count: int, name: str) -> None:
    """Check that a data set has enough examples to be split.

    Raises:
        RecipeError: `count` is below `FEWEST_EXAMPLES`.
    """
    if count < FEWEST_EXAMPLES:
        raise RecipeError(f"data={name}: {count} examples are too few; give at least {FEWEST_EXAMPLES}")


def _expanded(path: str, name: str, metavar: str) -> Path:
    """`data.path` with ~ expanded."""
    if not path:
        raise RecipeError(f"data={name} needs data.path={metavar}")
    return Path(path).expanduser()


def _suggestion(path: Path) -> str:
    """The end of a message about a path that does not exist: a similar name beside it, if there is one."""
    if path.exists():
        return ""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    siblings = [sibling.name for sibling in path.parent.iterdir()][:1000]
    suggestion = hint(path.name, siblings)
    return suggestion if suggestion.startswith("; did") else "; it does not exist"


def choose_rows(available: int, requested: int, key: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row numbers of `requested` random examples, or of all `available` ones for 0, in random order: (examples,).

    Raises:
        RecipeError: the option `key` requests more examples than are available.
    """
    if requested > available:
        raise RecipeError(
            f"{key}={requested} is more than the {available} available examples; "
            f"give at most {available}, or 0 for all"
        )
    return rng.permutation(available)[: requested or available]
