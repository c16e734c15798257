"""Gradient-stability studies: train a deep network, measure every layer, report whether its gradients flow.

`run` trains what `gradlab run` does and returns the stored run, with its tables, verdicts and figures; `load` reads
stored runs as one data frame, `study` gives one row per run, and `profile` measures a user's own network. `Recorder`
stores what a user's own training loop measures. `Task`,
`bounds`, `Probe`, `Snapshot` and `Column` are for user-defined data sets, parts and measurements.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlab.analysis.study import study_frame as study
    from gradlab.commands.run import run
    from gradlab.data.task import Task
    from gradlab.logs.recorder import Recorder
    from gradlab.measure.columns import Column
    from gradlab.measure.probe import Probe
    from gradlab.measure.snapshot import Snapshot
    from gradlab.nn.profile import profile
    from gradlab.recipe import bounds
    from gradlab.store.gather import load

__version__ = "0.3.0"
__all__ = [
    "Column",
    "Probe",
    "Recorder",
    "Snapshot",
    "Task",
    "__version__",
    "bounds",
    "load",
    "profile",
    "run",
    "study",
]

_PLACES = {  # module, or module:attribute
    "Column": "gradlab.measure.columns:Column",
    "Probe": "gradlab.measure.probe:Probe",
    "Recorder": "gradlab.logs.recorder:Recorder",
    "Snapshot": "gradlab.measure.snapshot:Snapshot",
    "Task": "gradlab.data.task:Task",
    "bounds": "gradlab.recipe.bounds",
    "load": "gradlab.store.gather:load",
    "profile": "gradlab.nn.profile:profile",
    "run": "gradlab.commands.run:run",
    "study": "gradlab.analysis.study:study_frame",
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
