"""Offline runs of Weights & Biases: nothing leaves the machine until `wandb sync FOLDER`, also of who is logged in.

The history holds every number in float64, NaN and ±inf as such. The time of a row is that of the export: of a step no
time is stored.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import wandb

from gradlab.recipe.errors import RecipeError, described
from gradlab.report.export.folders import filled
from gradlab.report.export.scalars import facts, label, scalars, seeds
from gradlab.report.summary import title

if TYPE_CHECKING:
    from gradlab.store.read import Run

FILES = ("run-*.wandb", "run-*.wandb.synced")  # the second is a mark of `wandb sync`
PROJECT = "gradlab"
# of this machine nothing is recorded: the run may have been trained on another one
_SETTINGS = {"console": "off", "silent": True, "host": "", "disable_git": True, "disable_code": True}
_NOT_OF_THE_MACHINE = ("x_disable_stats", "x_disable_meta", "x_disable_machine_info")


def write(run: "Run", out: Path, force: bool) -> Iterator[Path]:
    """Write `OUT/wandb/offline-run-TIME-ID` for each seed, where TIME is when the run began; gives their paths.

    Raises:
        RecipeError, StorageError: see `filled`.
    """
    for seed in seeds(run):
        name = label(run, seed)
        began = str(run.status.get("started", ""))
        identity = hashlib.sha256(f"{name} {began}".encode()).hexdigest()[:12]
        digits = re.sub(r"\D", "", began)[:14].ljust(14, "0")
        target = out / "wandb" / f"offline-run-{digits[:8]}_{digits[8:]}-{identity}"
        with filled(target, force, FILES) as folder:
            try:
                _write_seed(run, seed, identity, folder)
            except wandb.Error as error:
                raise RecipeError(f"{target} cannot be written by wandb: {described(error)}") from None
        yield target


def _write_seed(run: "Run", seed: int, identity: str, folder: Path) -> None:
    """Write the run where wandb wants it, in `wandb/offline-run-…` below the folder, and move its files up."""
    name = label(run, seed)
    settings = wandb.Settings(
        **_SETTINGS, **dict.fromkeys(_NOT_OF_THE_MACHINE, True), x_save_requirements=False
    )
    with wandb.init(
        project=PROJECT,
        group=name.parts[0],
        name=str(name),
        id=identity,
        notes=title(run),
        config=facts(run, seed),
        dir=folder.absolute(),  # wandb's own process may have been started in another folder
        mode="offline",
        settings=settings,
    ) as written:
        for scalar in scalars(run, seed):
            written.log(scalar.values, step=scalar.step)
    (log,) = folder.glob(f"wandb/offline-run-*-{identity}/run-*.wandb")
    log.rename(folder / log.name)
    shutil.rmtree(folder / "wandb")
