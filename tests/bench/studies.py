"""What a grid of many runs costs besides their steps, each figure printed beside its target."""

import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import pytest

from tests.bench.figures import _say
from tests.launch.test_engines import workers

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


STRUCTURES = ["depth=range(8,32)", "width=32", "steps=200"]  # 24 of them


def two_cores() -> None:
    """Wall time of a grid of 24 structures on two cores over that pinned to one, each with an empty cache."""
    seconds = {}
    for cores in ({0}, {0, 1}):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "gradlab",
                "run",
                "-m",
                *STRUCTURES,
                f"outputs={folder}/out",
                "--quiet",
            ]
            began = time.perf_counter()
            subprocess.run(
                command,
                check=True,
                env={**os.environ, "XDG_CACHE_HOME": folder},
                preexec_fn=lambda cores=cores: os.sched_setaffinity(0, cores),
            )
            seconds[len(cores)] = time.perf_counter() - began
    detail = f"{seconds[2]:.0f} s ÷ {seconds[1]:.0f} s"
    _say("24 structures: two cores ÷ one, wall time", seconds[2] / seconds[1], "≤ 0.58", detail)


def worker_memory() -> None:
    """Memory and memory maps of one worker over 200 structures: at the last 50 over those from 51 to 100."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["depth=range(1,201)", "width=8", "steps=0", "probe=[backward]", "snapshot=[]"]
        words += ["engine=local", "engine.workers=1"]
        command = [sys.executable, "-m", "gradlab", "run", "-m", *words, f"outputs={folder}", "--quiet"]
        process = subprocess.Popen(command)
        seen: dict[int, tuple[float, int]] = {}
        while process.poll() is None:
            time.sleep(0.2)
            done = len(list(Path(folder).rglob("steps/all.parquet")))
            for worker in workers(process.pid):
                with suppress(OSError):
                    memory = int(Path(f"/proc/{worker}/statm").read_text().split()[1]) / 256
                    seen[done] = (memory, Path(f"/proc/{worker}/maps").read_text().count("\n"))
    early = [facts for done, facts in seen.items() if 50 < done <= 100]
    late = [facts for done, facts in seen.items() if done > 150]
    for index, name in enumerate(("MiB", "memory maps")):
        before, after = (max(facts[index] for facts in part) for part in (early, late))
        detail = f"{before:.0f} and {after:.0f} {name}; exit code {process.returncode}"
        _say(f"a worker over 200 structures: {name}, late ÷ early", after / before, "≤ 1.1", detail)


ALL = (composition, each_run, two_cores, worker_memory)


def report() -> None:
    """Print every figure."""
    for figure in ALL:
        figure()
