"""What TensorBoard and Weights & Biases read of exported files, by their own libraries."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from gradlab.store.read import Run


def stored(run: Run, seed: int = 0) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value) of every measured number, row by row from the tables."""
    found: dict[str, list[tuple[int, float]]] = {}
    for table in ("steps", "layers"):
        for row in getattr(run, table).query(f"seed == {seed}").itertuples():
            for column, (_, _) in run.meanings(table).items():
                value = getattr(row, column)
                if value is None or type(value).__name__ == "NAType":
                    continue
                tag = f"steps/{column}" if table == "steps" else f"{column.replace('log10_', '')}/{row.name}"
                tag = f"probe/{tag}" if row.source == "probe" else tag
                found.setdefault(tag, []).append((row.step, float(value)))
    return found


def of_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of one run as TensorBoard's EventAccumulator reads them."""
    accumulator = accumulated(folder)
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def accumulated(folder: Path):
    """TensorBoard's EventAccumulator of a folder, with all events."""
    from tensorboard.backend.event_processing import event_accumulator

    return event_accumulator.EventAccumulator(
        str(folder), event_accumulator.STORE_EVERYTHING_SIZE_GUIDANCE
    ).Reload()


def of_wandb(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The history of an offline run, decoded with wandb's own messages."""
    found: dict[str, list[tuple[int, float]]] = {}
    for record in wandb_records(folder):
        if record.WhichOneof("record_type") == "history":
            row = {
                ".".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            for tag in row.keys() - {"_step", "_timestamp", "_runtime"}:
                found.setdefault(tag, []).append((row["_step"], row[tag]))
    return found


def wandb_records(folder: Path) -> Iterator:
    """The records of the one .wandb file in a folder."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("run-*.wandb")
    content = file.read_bytes()
    assert content.startswith(b":W&B")
    return map(Record.FromString, _records(content))


def _records(content: bytes, block: int = 32768) -> Iterator[bytes]:
    """The records of a log of LevelDB, which a .wandb file is after a header of seven bytes."""
    place, record = 7, b""
    while place + 7 <= len(content):
        if block - place % block < 7:  # no room for the head of a piece
            place += block - place % block
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        piece = content[place + 7 : place + 7 + size]
        record = piece if kind in (1, 2) else record + piece  # 1 the whole, 2 first, 3 middle, 4 last piece
        place += 7 + size
        if kind in (1, 4):
            yield record
