"""The GPUs of this machine, found without JAX: the process that asks must not take their memory."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from gradlab.recipe.recipe import Recipe

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus(recipes: Sequence[Recipe]) -> list[str]:
    """The numbers of the GPUs that these recipes train on; empty where they train on the CPU."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    on_gpu = {recipe.device for recipe in recipes} <= {"auto", "gpu"}
    if not on_gpu or (platforms and not re.search("cuda|gpu", platforms)) or not _jax_knows_gpus():
        return []
    if VISIBLE in os.environ:
        return [number for number in os.environ[VISIBLE].split(",") if number.strip()]
    with suppress(OSError):
        names = sorted(path.name for path in Path("/dev").iterdir())
        return [name.removeprefix("nvidia") for name in names if re.fullmatch(r"nvidia\d+", name)]
    return []


@cache
def _jax_knows_gpus() -> bool:
    """Whether JAX's plugin for GPUs is installed: to look through all distributions takes 0.03 s."""
    names = (distribution.metadata["Name"] or "" for distribution in distributions())
    return any(re.match("jax[-_]cuda.*[-_]plugin", name) for name in names)


def share(devices: Sequence[str], slot: int, slots: int) -> dict[str, str]:
    """The environment of the worker in a slot: one thread, and one GPU, whose memory the workers on it share."""
    threads = {"NPROC": os.environ.get("NPROC", "1")}
    if not devices:
        return threads
    crowded = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if slots > len(devices) else {}
    return threads | {VISIBLE: devices[slot % len(devices)]} | crowded
