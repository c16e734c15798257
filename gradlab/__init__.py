"""Gradient-stability studies: train a deep network, measure every layer, report whether its gradients flow.

`run` trains what `gradlab run` does and returns the stored run, with its tables, verdicts and figures; `open` gives
one that is stored, `load` reads stored runs as one data frame, `study` gives one row per run. `profile` measures a
network of one's own; `measure`, `Recorder`, `block`, `tap`, `norms` and `record_norms` are for a training loop of
one's own. `Task`, `bounds`, `Probe`, `Snapshot` and `Column` are for user-defined data sets, parts and measurements.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlab.commands.run import run
    from gradlab.data.task import Task
    from gradlab.logs.recorder import Recorder
    from gradlab.measurements.columns import Column
    from gradlab.measurements.probe import Probe
    from gradlab.measurements.snapshot import Snapshot
    from gradlab.nn.equations import block
    from gradlab.own.by_hand import norms, tap
    from gradlab.own.loss import measure
    from gradlab.own.network import profile
    from gradlab.own.transformation import record_norms
    from gradlab.recipe import bounds
    from gradlab.report.result import open_result as open  # noqa: A004 (as in gradlab.open)
    from gradlab.report.study_frame import study
    from gradlab.store.gather import load

__version__ = "0.3.0"
__all__ = [
    "Column",
    "Probe",
    "Recorder",
    "Snapshot",
    "Task",
    "__version__",
    "block",
    "bounds",
    "load",
    "measure",
    "norms",
    "open",
    "profile",
    "record_norms",
    "run",
    "study",
    "tap",
]

_PLACES = {  # module, or module:attribute
    "Column": "gradlab.measurements.columns:Column",
    "Probe": "gradlab.measurements.probe:Probe",
    "Recorder": "gradlab.logs.recorder:Recorder",
    "Snapshot": "gradlab.measurements.snapshot:Snapshot",
    "Task": "gradlab.data.task:Task",
    "bounds": "gradlab.recipe.bounds",
    "load": "gradlab.store.gather:load",
    "block": "gradlab.nn.equations:block",
    "measure": "gradlab.own.loss:measure",
    "norms": "gradlab.own.by_hand:norms",
    "open": "gradlab.report.result:open_result",
    "profile": "gradlab.own.network:profile",
    "record_norms": "gradlab.own.transformation:record_norms",
    "run": "gradlab.commands.run:run",
    "study": "gradlab.report.study_frame:study",
    "tap": "gradlab.own.by_hand:tap",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `load` needs no JAX, `profile` no pandas, `--help` neither.

    Raises:
        AttributeError: for any other name.
    """
    if name not in _PLACES:
        raise AttributeError(f"module 'gradlab' has no attribute '{name}'")
    module, _, attribute = _PLACES[name].partition(":")
    imported = import_module(module)
    return getattr(imported, attribute) if attribute else imported


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
