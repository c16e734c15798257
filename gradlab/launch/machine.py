"""The machine at hand: its threads, which change the bits of a run, its compilation cache, its devices."""

import logging
import os
import platform
import re
import resource
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from gradlab import __version__
from gradlab.parts.family import source_digests
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, is_import_path, named

CACHE_FAULT = "Error (reading|writing) persistent compilation cache entry for '(.*)': "  # so JAX warns
THREADS = "NPROC"  # read by XLA on CPU when its first program starts; 1 unless the user has set it


def prepare() -> None:
    """Pin the threads and turn the persistent compilation cache on, before the first program is compiled.

    What JAX says of a cache that cannot be used is silenced; `compilation_cache` and `notice` say it in one line.
    """
    os.environ.setdefault(THREADS, "1")
    warnings.filterwarnings("ignore", CACHE_FAULT)
    # it prints the traceback of a host callback, which the run's log holds
    logging.getLogger("jax._src.callback").setLevel(logging.CRITICAL)
    if _cache_folder() is None and (folder := _own_cache()) is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _cache_folder() -> str | None:
    """The persistent compilation cache that JAX uses: gradlab's own, or one that the user has set."""
    folder: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return folder


def _own_cache() -> Path | None:
    """gradlab's own compilation cache; None for a user without a home."""
    with suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradlab" / "jax"
    return None


@contextmanager
def compilation_cache() -> Iterator[list[str]]:
    """Yields a list that receives what JAX says of a cache that it cannot use."""
    faults: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("always", CACHE_FAULT)
        usual = warnings.showwarning

        def show(message: Any, *where: Any, **options: Any) -> None:
            if re.match(CACHE_FAULT, str(message)):
                faults.append(str(message))
            else:
                usual(message, *where, **options)

        warnings.showwarning = show
        yield faults


def notice(faults: list[str]) -> str:
    """One line on a compilation cache that could not be used, "" without faults; what is damaged in it is deleted.

    JAX leaves an entry that the disk did not take, or that a kill has cut off, and never writes it again.
    """
    folder = _cache_folder()
    if folder is None:
        return (
            "there is no home folder for the compilation cache; set XDG_CACHE_HOME to keep compiled programs"
        )
    if not faults:
        return ""
    if Path(folder) == _own_cache():
        for fault in faults:
            program = re.match(CACHE_FAULT, fault)
            for entry in Path(folder).glob(f"{program[2] if program else ''}-*-cache"):
                with suppress(OSError):
                    entry.unlink()
    reason = re.sub(CACHE_FAULT, "", faults[0]).splitlines()[0]
    return f"the compilation cache {folder} cannot be used: {reason}; programs are compiled anew"


@contextmanager
def device(recipe: Recipe) -> Iterator[Any]:
    """The device and the precision that the recipe asks for, while it runs.

    Raises:
        RecipeError: where the device is not available.
    """
    try:
        device = jax.devices(None if recipe.device == "auto" else recipe.device)[0]
    except RuntimeError as error:
        raise RecipeError(f"device={recipe.device} is not available; {_available(error)}") from None
    with jax.default_device(device), jax.enable_x64(recipe.dtype == "float64"):
        yield device


def _available(error: RuntimeError) -> str:
    try:
        return f"JAX sees: {', '.join(sorted({device.platform for device in jax.devices()}))}"
    except RuntimeError:  # there is no device at all: JAX_PLATFORMS names an unavailable platform
        return f"JAX says: {str(error).splitlines()[0]}"


def versions(recipe: Recipe) -> dict[str, str]:
    """The versions of the software on which results may depend bit for bit, and a digest of user-defined modules."""
    user_defined = source_digests(name for _, name in named(recipe) if is_import_path(name))
    return _software() | user_defined


@cache
def _software() -> dict[str, str]:
    """The versions of Python and of packages; each is read from a file, and stays as it is while a process runs."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "pyarrow")
    software = {"gradlab": __version__, "python": platform.python_version()}
    return software | {name: version(name) for name in packages}


def differing(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The differences, as `jax 0.9.0 (now 0.10.2), threads 2 (now 1)`; empty if there are none."""
    return ", ".join(
        f"{key} {before[key]} (now {now.get(key)})" for key in before if before[key] != now.get(key)
    )


def facts(recipe: Recipe, used: Any) -> dict[str, Any]:
    """What a run is reproducible with: versions, device, threads."""
    return {
        "versions": versions(recipe),
        "device": used.platform,
        "device_kind": used.device_kind,
        "threads": int(os.environ.get(THREADS) or os.cpu_count() or 1),
    }


def reset_peak_memory() -> str:
    """Let the process's peak of memory begin anew, where the system can (Linux): a run's peak is then its own.

    Returns under which name status.json stores it: memory_mib, or process_peak_mib where the peak goes on as it is.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return "process_peak_mib"
    return "memory_mib"


def peak_memory_mib() -> float:
    """The process's peak resident memory since `reset_peak_memory`, or since its start where that is not possible."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
