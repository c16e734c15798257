"""status.json: the state of a run and what it ran on. Needs no pandas, so that the training side reads it too."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradlab.measurements.columns import VERSION
from gradlab.recipe.errors import RecipeError
from gradlab.store import contents, write
from gradlab.store.json_safe import json_safe


def read_status(folder: Path) -> dict[str, Any]:
    """The content of status.json; empty if the file is missing or damaged."""
    try:
        status = contents.read_status(folder)
    except RecipeError:
        return {}
    return status if is_whole(status) else {}


def merge(folder: Path, status: Mapping[str, Any]) -> None:
    """Complete an interrupted compaction of an ended run with this status, which gets the digests of the merged files.

    Raises:
        OSError: a part is missing or damaged, or the folder cannot be written.
    """
    noted = dict(status.get("files", {}))
    note = lambda merged: write_status(folder, {**status, "files": noted | merged})
    write.compact(folder, noted | write.noted_digests(folder), note)


def is_whole(status: Mapping[str, Any]) -> bool:
    """Whether the content of status.json is what was written; one without digests, of schema 3, is not checked."""
    if "digest" not in status and "files" not in status:
        return True
    return bool(status.get("digest") == _digest(status))


def _digest(status: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in status.items() if key != "digest"}
    return write.digest(json.dumps(rest, sort_keys=True).encode())


def write_status(folder: Path, status: Mapping[str, Any]) -> None:
    """Write status.json durably, with the version of the schema; a number that is not finite becomes null."""
    content = json_safe({"schema": VERSION, **status})
    content["digest"] = _digest(content)
    write.text(folder, "status.json", json.dumps(content, indent=2, allow_nan=False) + "\n")
