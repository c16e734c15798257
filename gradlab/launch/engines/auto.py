"""`engine=auto`: worker processes where a grid is worth them, else this process."""

from collections.abc import Sequence

from gradlab.launch.devices import gpus
from gradlab.launch.engines.contract import Carrier, Engine, Workers, engine
from gradlab.launch.engines.local import LocalWorkers, worker_count
from gradlab.recipe.recipe import Recipe, structure

# a worker takes three seconds to start: from so many runs, or so many structures to compile, it is worth them
FEWEST_RUNS, FEWEST_STRUCTURES = 8, 3


@engine
def auto(workers: Workers) -> Engine:
    """`local` for grids of eight runs or three structures where there is more than one core or GPU, else `inline`."""

    def open_engine(recipes: Sequence[Recipe]) -> Carrier | None:
        many = len(recipes) >= FEWEST_RUNS or len(set(map(structure, recipes))) >= FEWEST_STRUCTURES
        # a GPU trains the runs of a batch side by side, which a worker does
        if not gpus(recipes) and (not many or worker_count(recipes, workers) < 2):
            return None
        return LocalWorkers(recipes, workers)

    return Engine(open_engine)
