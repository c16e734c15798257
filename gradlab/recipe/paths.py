"""The shipped folders `conf/` and `experiments/`: beside the package or, in a wheel, inside it."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(folder: str) -> Path:
    """The path of `conf` or `experiments` in this installation."""
    in_package = _PACKAGE / folder
    return in_package if in_package.is_dir() else _PACKAGE.parent / folder


def is_folder(path: Path) -> bool:
    """Whether there is a folder of this name; one that the file system does not take is the name of none."""
    try:
        return path.is_dir()
    except OSError:
        return False


CONF = shipped("conf")
EXPERIMENTS = shipped("experiments")
