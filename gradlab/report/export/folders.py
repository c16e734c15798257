"""A folder of exported files that is complete or absent under its name."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from gradlab.recipe.errors import RecipeError, unwritable


@contextmanager
def filled(target: Path, force: bool, patterns: tuple[str, ...]) -> Iterator[Path]:
    """A temporary folder beside `target`, which gets its name once it is filled; removed if that fails.

    With `force` a folder of that name is replaced if every file in it matches one of the `patterns`: what the tool of
    the export writes.

    Raises:
        RecipeError: there is something of that name, and not `force`, or it holds other files; or nothing can be
            written there.
        StorageError: the file system does not take a file.
    """
    _require_free(target, force, patterns)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(8)}.tmp"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
    except OSError as error:
        raise unwritable(target, error) from None
    except UnicodeError:  # TensorBoard and wandb take names in UTF-8 only
        raise RecipeError(f"{target} cannot be written: its name is not UTF-8; give another --out") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _require_free(target: Path, force: bool, patterns: tuple[str, ...]) -> None:
    if not os.path.lexists(target):
        return
    if not force:
        raise RecipeError(
            f"{target} is there already; replace it with --force, or give another folder with --out"
        )
    if target.is_symlink() or not target.is_dir():
        raise RecipeError(f"{target} is no folder, and is not replaced; remove it yourself")
    for folder, _, names in os.walk(target):
        for name in names:
            if not any(fnmatchcase(name, pattern) for pattern in patterns):
                raise RecipeError(
                    f"{Path(folder, name)} is no file of an export, so --force does not replace its folder; move it"
                )
