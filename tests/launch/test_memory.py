"""A grid of many structures does not fill its process, and each of its runs is told its own peak of memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradlab.launch import machine
from gradlab.store.read import open_run
from tests.launch import stored
from tests.recipes import launch, tiny

# compiles 30 tiny structures one after the other, and prints the memory maps and resident MiB after 5 and after 30
PROGRAM = """
from pathlib import Path
from gradlab.engine.prepare import prepare
from gradlab.engine.loop import compile_run, load_run
from gradlab.engine.tasks import load_task
from tests.recipes import recipe

def report():
    maps = Path("/proc/self/maps").read_bytes().count(b"\\n")
    print(maps, int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20)

words = ("model=point", "loss=quadratic", "probe=[forward]", "steps=1", "batch_size=2")
for coordinates in range(1, 31):
    run = recipe(*words, f"model.start=[{','.join(['1.0'] * coordinates)}]")
    compile_run(load_run(prepare(run)))
    if coordinates in (5, 30):
        report()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not list memory maps")
def test_memory_is_level_over_the_structures_of_a_grid():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    (maps, resident), (later_maps, later_resident) = (
        map(int, line.split()) for line in done.stdout.splitlines()
    )
    assert later_maps < 1.1 * maps
    assert later_resident < resident + 100


def test_a_run_s_peak_does_not_hold_what_was_freed_before_it(tmp_path):
    """The process's peak does: 256 MiB that nothing of gradlab needs."""
    first = launch(tiny(tmp_path)).folder
    np.ones(2**25)
    process_peak = machine.peak_memory_mib()
    second = launch(tiny(tmp_path, "seed=1")).folder
    if "process_peak_mib" in stored.status(second):
        pytest.skip("the system does not reset the peak")
    peaks = [stored.status(folder)["memory_mib"] for folder in (first, second)]
    assert max(peaks) < process_peak - 200
    assert peaks[1] > 0.9 * 2**-20 * _resident()


def test_where_the_peak_cannot_begin_anew_its_name_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_text", refuse(Path.write_text, "/proc/self/clear_refs"))
    status = stored.status(launch(tiny(tmp_path)).folder)
    assert status["process_peak_mib"] >= 100
    assert "memory_mib" not in status
    assert open_run(next(tmp_path.glob("*/*"))).status == status


def refuse(write, refused):
    """`write`, but for one path, which may not be written."""

    def written(path, *content):
        if str(path) == refused:
            raise PermissionError(refused)
        return write(path, *content)

    return written


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
