"""What a grid of many runs costs besides their steps, each figure printed beside its target."""

import itertools
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median

import pytest

from tests.bench.figures import _say

NUMBERS = ["lr=range(0.01,0.11,0.01)", "seed=range(0,5)"]
GRIDS = {
    "4 depths × 5 initializers × 10 rates × 5 seeds": [
        "depth=10,20,50,30",
        "initializer=he,xavier,orthogonal,lecun,normal",
        *NUMBERS,
    ],
    "20 depths × 10 rates × 5 seeds": ["depth=range(10,30)", *NUMBERS],
    "5 clips × 5 initializers × 4 activations × 10 rates": [
        "clip=none,norm,value,agc,skip",
        "initializer=he,xavier,orthogonal,lecun,normal",
        "activation=tanh,relu,gelu,silu",
        NUMBERS[0],
    ],
}
COMPOSE = """
import sys
from gradlab.commands.compose.grid import grid
assert len(grid(sys.argv[1:], multirun=True).recipes) == 1000
"""


def composition() -> None:
    """CPU seconds of a fresh process in which a thousand cells are composed and checked."""
    for name, words in GRIDS.items():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", COMPOSE, *words], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        _say("1000 cells composed and checked, CPU s", spent, "≤ 4", name)


def each_run() -> None:
    """CPU seconds of each run of a grid after the first, over those of its steps alone: the calls of the program."""
    import gradlab
    from gradlab.launch import study
    from tests.bench import ours

    ended: list[float] = []
    tell = study.tell

    def timed(*what: object) -> None:
        tell(*what)
        ended.append(time.process_time())

    network, steps, chunk = ["depth=20", "width=32"], 200, 50
    rates, seeds = "lr=0.01,0.02,0.05,0.1,0.2,0.3,0.4,0.5", "seed=range(0,8)"
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr(study, "tell", timed)
        began = time.process_time()
        gradlab.run(*network, f"steps={steps}", rates, seeds, f"outputs={folder}", "engine=inline")
        whole = time.process_time() - began
    work = ours.chunk(*network, steps=chunk)
    bare = steps / chunk * median(_seconds(work) for _ in range(40))
    run = median(later - earlier for earlier, later in itertools.pairwise(ended))
    detail = f"{run:.3f} s, steps {bare:.3f} s; {whole:.1f} s for {len(ended)} runs and their comparison"
    _say("a run of a grid ÷ its steps (20, 32, 200 steps)", run / bare, "≤ 2", detail)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


ALL = (composition, each_run)


def report() -> None:
    """Print every figure."""
    for figure in ALL:
        figure()
