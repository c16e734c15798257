"""A grid of many structures does not fill its process: programs are dropped when others need their place."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system cannot reset a peak of memory"
)
def test_a_run_s_memory_is_not_that_of_what_was_before(tmp_path):
    large = np.ones(2**27)  # 1 GiB, as another run of a grid
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    del large
    status = stored.status(launch(tiny(tmp_path, "steps=0")).folder)
    assert 50 < status["memory_mib"] < before - 400
