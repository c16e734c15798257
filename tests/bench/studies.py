"""What a grid of many runs costs besides their steps, each figure printed beside its target."""

import resource
import subprocess
import sys

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


ALL = (composition,)


def report() -> None:
    """Print every figure."""
    for figure in ALL:
        figure()
