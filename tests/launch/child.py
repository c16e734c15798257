"""Processes that run one recipe each, to be killed: all imports are done once, then every line is a fork.

python -m tests.launch.child reads recipes as JSON, a line each; it answers with the process's id when it has
begun, and with its return code when it has ended.
"""

import json
import os
import sys
import time

import sklearn.datasets  # noqa: F401  # slow to import

from gradlab.launch import launch, run
from gradlab.recipe import Every, Recipe


def one(pause: float, values: dict) -> None:
    """Run a recipe with a checkpoint after every chunk, and then a rest."""
    run.PATIENCE = 0.0
    recipe = Recipe(**values | {key: Every(**values[key]) for key in ("log", "eval")})
    launch(recipe, lambda now: time.sleep(pause))


def main() -> None:
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            one(*json.loads(line))
            os._exit(0)
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
