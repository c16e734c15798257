"""A process that runs one recipe, to be killed: python -m tests.launch.child SECONDS RECIPE-AS-JSON."""

import json
import sys

from gradlab.launch import launch, run
from gradlab.recipe import Every, Recipe


def main(patience: str, text: str) -> None:
    run.PATIENCE = float(patience)
    values = json.loads(text)
    outcome = launch(Recipe(**values | {key: Every(**values[key]) for key in ("log", "eval")}))
    print(json.dumps([outcome.state, outcome.message, outcome.fresh]))


if __name__ == "__main__":
    main(*sys.argv[1:])
