"""TensorBoard's event files, read by the `tensorboard` package: each scalar is a column with steps of its own."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gradlab.logs.foreign_writer import Measured
from gradlab.recipe.errors import RecipeError, described

MARK = "tfevents"  # in the name of an event file


class EventTable:
    """The scalars of an event file, or of all of a folder; `read_scalar` gives the steps and values of one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        except ImportError as error:
            raise RecipeError(
                f"{path} is a log of TensorBoard, which the package tensorboard reads; install it: "
                "pip install 'gradlab-jax[tensorboard]'"
            ) from error
        self._events: Events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
        try:
            self._events.Reload()
        except Exception as error:  # whatever the package raises for a damaged file
            raise RecipeError(f"{path} cannot be read ({described(error)})") from error
        tags = self._events.Tags()
        self._scalars = list(tags["scalars"])
        self.names = [*self._scalars, *(tag for tag in tags["tensors"] if self._is_scalar(tag))]
        if not self.names:
            raise RecipeError(f"{path} has no scalars; write some by SummaryWriter.add_scalar")

    def _is_scalar(self, tag: str) -> bool:
        events = self._events.Tensors(tag)
        return (
            bool(events)
            and not events[0].tensor_proto.tensor_shape.dim
            and events[0].tensor_proto.dtype in (1, 2)
        )

    def read_scalar(self, name: str) -> tuple[Measured, Measured]:
        """Steps and values of a scalar, each (events,)."""
        if name in self._scalars:
            events = [(event.step, event.value) for event in self._events.Scalars(name)]
        else:  # as TensorFlow 2 writes scalars
            from tensorboard.util.tensor_util import make_ndarray

            events = [
                (event.step, float(make_ndarray(event.tensor_proto))) for event in self._events.Tensors(name)
            ]
        steps, values = (np.array(column, dtype=np.float64) for column in zip(*events, strict=True))
        measured = np.ones(len(events), bool)
        return Measured(steps, measured), Measured(values, measured)


class Events(Protocol):
    """What is used of TensorBoard's EventAccumulator."""

    def Reload(self) -> Any: ...
    def Tags(self) -> dict[str, Any]: ...
    def Scalars(self, tag: str) -> list[Any]: ...
    def Tensors(self, tag: str) -> list[Any]: ...
