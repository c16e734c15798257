"""Which run or study is watched: that of a path, or the newest one that is being written."""

from pathlib import Path

from gradlab.recipe.paths import is_folder
from gradlab.store.lock import held, holder
from gradlab.store.read import folders


def newest_written(outputs: Path) -> Path | None:
    """The run below a folder that is being written and began last, or its study if the run is one of a grid; else None.

    It is one of a grid where another run of its study is being written, too, or was written by the same process.
    """
    if not is_folder(outputs):
        return None
    written = [folder for folder in folders(outputs) if held(folder) and (folder / "status.json").exists()]
    if not written:
        return None
    newest = max(written, key=lambda folder: (folder / "recipe.yaml").stat().st_mtime_ns)
    writer = holder(newest)
    beside = [folder for folder in folders(newest.parent) if folder != newest]
    if any(folder in written or (writer and holder(folder) == writer) for folder in beside):
        return newest.parent
    return newest


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run that has begun."""
    return is_folder(path) and folders(path) == [path]


def has_runs(path: Path) -> bool:
    """Whether there is a run that has begun at or below a folder."""
    return is_folder(path) and any((folder / "status.json").exists() for folder in folders(path))
