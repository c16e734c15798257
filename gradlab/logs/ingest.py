"""A log of another program becomes the folder of a run; the same log twice is one run."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gradlab.logs.foreign_writer import ForeignWriter, claimed, holds_run
from gradlab.logs.formats import files_of, read_log
from gradlab.logs.log import Log
from gradlab.logs.roles import Stated
from gradlab.measurements.columns import RESULTS
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.store import files, write
from gradlab.store.contents import ORIGIN, read_recipe
from gradlab.store.status import read_status

BLOCK = 2**20  # bytes that are digested at once
# names that programs give to every log: the folder says more
COMMON_NAMES = ("trainer_state", "metrics", "history")


class Ingested(NamedTuple):
    """Where a log is stored; `log` is None where it was there already."""

    folder: Path
    log: Log | None


def ingest(path: Path, folder: Path, stated: Stated, known: Mapping[str, Any], force: bool) -> Ingested:
    """Read a log and store it in the folder of a run; nothing is read where it is there already, unless by `force`.

    Raises:
        RecipeError: it is no log, or cannot be understood without more options, or the folder holds another run.
        StorageError: the file system does not take it.
    """
    digest = log_digest(path, stated, known)
    if not force and holds_run(folder):
        if _is_stored(folder, digest):
            return Ingested(folder, None)
        raise RecipeError(f"{folder} holds another run; give --name, or --force to replace it")
    log = read_log(path, stated)
    source = {"source": one_line(path.name), "digest": digest, **log.origins}
    with claimed(folder, force):
        try:
            _write(folder, log, source, known)
        except BaseException:  # also a signal: nothing is left that looks like a run
            write.clear(folder)
            files.remove(folder, ["recipe.yaml"])
            raise
    return Ingested(folder, log)


def _write(folder: Path, log: Log, source: Mapping[str, str], known: Mapping[str, Any]) -> None:
    writer = ForeignWriter(folder, {ORIGIN: "ingested"}, source, log.layers, known)
    for record in log.records():
        writer.write(record)
    writer.end("finished", "; ".join(log.notes))


def _is_stored(folder: Path, digest: str) -> bool:
    """Whether the folder holds the run of a log with this digest, as a whole."""
    try:
        origin = read_recipe(folder).get(ORIGIN, {})
    except RecipeError:
        return False
    return bool(origin.get("digest") == digest and read_status(folder).get("state") in RESULTS)


def log_digest(path: Path, stated: Stated, known: Mapping[str, Any]) -> str:
    """64 bits of SHA-256 of the log's files and of what its user has said of it, as hexadecimal digits.

    Raises:
        RecipeError: there is no such log, or it cannot be read.
    """
    content = hashlib.sha256(repr((tuple(stated), sorted(known.items()))).encode())
    for file in files_of(path):
        try:
            with file.open("rb") as stream:
                while block := stream.read(BLOCK):
                    content.update(block)
        except OSError as error:
            raise RecipeError(f"{file} cannot be read ({error.strerror})") from error
    return content.hexdigest()[:16]


def run_name(path: Path) -> str:
    """The name of the run of a log: that of its file, with that of its folder before a name that every log has."""
    stem = path.absolute().name if path.is_dir() else path.stem
    if stem in COMMON_NAMES:
        stem = f"{path.absolute().parent.name}-{stem}"
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._")[:80] or "log"
