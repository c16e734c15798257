"""How long a run will take and how much memory: from runs of the same structure, else from its count of operations."""

from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any, NamedTuple

from gradlab.analysis.study import Row

# choices that decide no program: with floats they may differ between runs of the same structure
NUMBERS = ("seed", "steps", "on_nonfinite")


class Forecast(NamedTuple):
    """Seconds of the steps, and of compiling where that is not done yet, and MiB; None: nothing was measured.

    runs: of the same structure, from which they are; 0: the seconds are from the operations of other runs.
    """

    seconds: float | None = None
    compile_seconds: float = 0.0  # once for each structure
    memory_mib: float | None = None
    runs: int = 0


def forecast(
    choices: Mapping[str, Any], flops_per_step: Callable[[], int | None], rows: Iterable[Row]
) -> Forecast:
    """The forecast of a run with these choices from the rows of a study.

    flops_per_step: counts the operations of its step; asked only where no run of the same structure was measured.
    """
    measured = [row for row in rows if _pace(row) is not None]
    alike = [row for row in measured if _same_structure(choices, row)]
    if alike:
        pace = median(_pace(row) or 0.0 for row in alike)
        memory = [row["memory_mib"] for row in alike if row.get("memory_mib") is not None]
        compiling = max(row["compile_seconds"] for row in alike)
        return Forecast(choices["steps"] * pace, compiling, median(memory) if memory else None, len(alike))
    counted = [row for row in measured if row.get("flops_per_step")]
    flops = flops_per_step() if counted else None
    if not flops:
        return Forecast()
    seconds_per_operation = median((_pace(row) or 0.0) / row["flops_per_step"] for row in counted)
    compiling = max(row["compile_seconds"] for row in counted)
    return Forecast(choices["steps"] * flops * seconds_per_operation, compiling)


def _pace(row: Row) -> float | None:
    """Seconds of a step, with all that is stored of it; None for a run without steps."""
    steps, seconds, compiling = (row.get(key) for key in ("steps_done", "seconds", "compile_seconds"))
    if not steps or seconds is None or compiling is None:
        return None
    return max(float(seconds) - float(compiling), 0.0) / int(steps)


def _same_structure(choices: Mapping[str, Any], row: Row) -> bool:
    return all(
        str(row.get(name)) == str(value)
        for name, value in choices.items()
        if not isinstance(value, float) and name not in NUMBERS
    )
