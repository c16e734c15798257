"""What a report costs: CPU seconds and bytes of the page of one run of 50 layers and 500 steps, and of 20."""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from gradlab.store.read import open_run
from tests.bench import copies
from tests.bench.figures import _run, _say

RUNS = 20
REPEATS = 3  # of which the fastest is told
STEPS, DEPTH = 500, 50


def report() -> None:
    """Each page is made by a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        _run(["model=mlp", f"depth={DEPTH}", "clip=norm", f"steps={STEPS}"], outputs=place)
        (trained,) = Path(place).glob("default/*")
        _page(trained, 1, ("≤ 2", "≤ 0.4"))
        run = open_run(trained)
        for index in range(RUNS):
            # tilted backward signals of seeds of their own, so that no picture is that of another run
            changes = {"lr": 0.01 * (1 + index % 5), "seed": index // 5}
            copies.copy(run, Path(place, "many", f"run{index}"), changes, 0.01 * (index - 10))
        _page(Path(place, "many"), RUNS, ("≤ 15", "≤ 3"))


def _page(folder: Path, runs: int, targets: tuple[str, str]) -> None:
    seconds = min(_seconds(folder) for _ in range(REPEATS))
    what = f"of {runs} run{'s' * (runs > 1)}, {DEPTH} layers, {STEPS} steps"
    _say(f"report {what}, CPU s", seconds, targets[0])
    _say(f"report {what}, MB", (folder / "report.html").stat().st_size / 1e6, targets[1])


def _seconds(folder: Path) -> float:
    """CPU seconds of one process that writes the page."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "gradlab", "report", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
