"""`engine=inline`: one recipe after the other in this process."""

from gradlab.launch.engines.contract import Engine, engine


@engine
def inline() -> Engine:
    """This process: no start-up, the least memory; a run that ends the process ends the grid."""
    return Engine(lambda recipes: None)
