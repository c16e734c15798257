"""The machine at hand: its threads, which change the bits of a run, its compilation cache, its devices."""

import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from gradlab import __version__
from gradlab.parts.family import source_digests
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, is_import_path, named

THREADS = "NPROC"  # read by XLA on CPU when its first program starts; 1 unless the user has set it


def prepare() -> None:
    """Pin the threads and turn the persistent compilation cache on, before the first program is compiled."""
    os.environ.setdefault(THREADS, "1")
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradlab" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


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
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "pyarrow")
    software = {"gradlab": __version__, "python": platform.python_version()}
    user_defined = source_digests(name for _, name in named(recipe) if is_import_path(name))
    return software | {name: version(name) for name in packages} | user_defined


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


def memory_mib() -> float:
    """The process's peak resident memory."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
