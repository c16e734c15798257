"""Processes that run one recipe each, to be killed: all imports are done once, then a run is a fork.

python -m tests.launch.child reads a recipe as JSON and answers with the process's id, which stays its own until
an empty line asks for its return code.
"""

import json
import os
import sys
import time

import sklearn.datasets  # noqa: F401  # slow to import

from gradlab.launch import training
from gradlab.recipe.recipe import NESTED, Recipe
from tests.recipes import launch


def one(pause: float, values: dict) -> None:
    """Run a recipe with a checkpoint after every chunk, and then a rest."""
    training.CHECKPOINT_SECONDS = 0.0
    parts = {key: kind(**values[key]) for key, kind in NESTED.items()}
    recipe = Recipe(**values | parts)
    launch(recipe, lambda now: time.sleep(pause))


def main() -> None:
    while line := sys.stdin.readline():
        process = os.fork()
        if process == 0:
            one(*json.loads(line))
            os._exit(0)
        print(process, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
