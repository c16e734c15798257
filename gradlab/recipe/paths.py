"""Where the shipped folders `conf/` and `experiments/` are: beside the package or, in a wheel, inside."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(folder: str) -> Path:
    """`conf` or `experiments` as this installation has it."""
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


CONF = shipped("conf")
EXPERIMENTS = shipped("experiments")
