"""Event files of TensorBoard: scalars, the recipe as text and as hyperparameters, the definitions as text.

TensorBoard's scalars are float32 as the stored columns are, and hold NaN and ±inf; a count above 2²⁴ is rounded. The
time of every event is that at which the run began: of a step no time is stored.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2 as statuses
from tensorboard.plugins.hparams import metadata as hparams_plugin
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.plugins.text import metadata as text_plugin
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from gradlab.measurements.columns import RESULTS
from gradlab.report.export.folders import filled
from gradlab.report.export.scalars import Scalars, definitions, facts, label, scalars, seeds

if TYPE_CHECKING:
    from gradlab.store.read import Run

FILES = ("events.out.tfevents.*",)


def write(run: "Run", out: Path, force: bool) -> Iterator[Path]:
    """Write `OUT/STUDY/RUN`, with a folder for each seed where there are several; gives its path.

    Raises:
        RecipeError, StorageError: see `filled`.
    """
    several = seeds(run)
    whole = out / label(run, several[0])
    target = whole.parent if len(several) > 1 else whole
    with filled(target, force, FILES) as folder:
        for seed in several:
            _write_seed(run, seed, folder / f"seed_{seed}" if len(several) > 1 else folder)
    yield target


def _write_seed(run: "Run", seed: int, folder: Path) -> None:
    began = _began(run)
    writer = EventFileWriter(str(folder))
    try:
        for summary in _summaries_of_recipe(run, seed, began):
            writer.add_event(Event(wall_time=began, summary=summary))
        for scalar in scalars(run, seed):
            writer.add_event(Event(wall_time=began, step=scalar.step, summary=_summary(scalar)))
    finally:
        writer.close()


def _began(run: "Run") -> float:
    """When the run began, in seconds since 1970; 0 where that is not stored."""
    try:
        return datetime.fromisoformat(run.status["started"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0


def _summary(scalar: Scalars) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in scalar.values.items()])


def _summaries_of_recipe(run: "Run", seed: int, began: float) -> Iterator[Summary]:
    """Recipe and definitions of the columns as text, and the recipe as hyperparameters with the state of the run."""
    chosen = facts(run, seed)
    yield _table("recipe", "key", "value", chosen)
    yield _table("columns", "scalar", "definition", definitions(run))
    start = SessionStartInfo(start_time_secs=began)
    for key, value in chosen.items():
        kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
        setattr(start.hparams[key], f"{kind}_value", value)
    yield _session(hparams_plugin.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))
    if (state := run.status["state"]) in (*RESULTS, "failed"):
        status = statuses.STATUS_SUCCESS if state in RESULTS else statuses.STATUS_FAILURE
        end = SessionEndInfo(status=status, end_time_secs=began + run.status.get("seconds", 0.0))
        yield _session(hparams_plugin.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def _table(tag: str, key: str, value: str, rows: Mapping[str, object]) -> Summary:
    """A table in Markdown, which TensorBoard shows among the texts."""
    lines = [f"| {key} | {value} |", "|---|---|"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in rows.items()]
    metadata = text_plugin.create_summary_metadata(tag, "")
    tensor = make_tensor_proto(["\n".join(lines).encode()])
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _session(tag: str, data: HParamsPluginData) -> Summary:
    metadata = hparams_plugin.create_summary_metadata(data)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=hparams_plugin.NULL_TENSOR)])
