"""What of several runs cannot be compared, and why: one line for each matter."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gradlab.analysis.score import score_of

if TYPE_CHECKING:
    from gradlab.store.read import Run

SURFACE = "point"  # model=point has no layers


def differences(runs: list["Run"]) -> list[str]:
    """A line for each matter in which the runs are not of one kind: scores, losses, tasks, depth, steps."""
    models = _distinct(run.recipe["model"]["name"] for run in runs)
    networks = [model for model in models if model != SURFACE]
    examples = _distinct(_examples_per_step(run) for run in runs)
    tasks = _distinct(run.status["data"].get("name", run.recipe["data"]["name"]) for run in runs)
    scores = _distinct(score_of(run.status["data"]).name for run in runs)
    lines = [
        f"scores are not compared: {_and(scores)}" if len(scores) > 1 else "",
        f"losses are not compared: {unlike_losses(runs)}" if unlike_losses(runs) else "",
        f"the tasks differ: {_and(tasks)}; so do their chance levels" if len(tasks) > 1 else "",
        "a surface (model=point) has no layers: it has no profile and no gain"
        if SURFACE in models and networks
        else "",
        f"a layer means something else in each of {_and(networks)}: profiles are drawn over relative depth"
        if len(networks) > 1
        else "",
        f"a step is a gradient of {_and(map(str, examples))} examples: the numbers of steps are not compared"
        if len(examples) > 1
        else "",
    ]
    return [line for line in lines if line]


def unlike_losses(runs: list["Run"]) -> str:
    """The loss functions of runs that have several, "" if they have one."""
    losses = _distinct(run.recipe["loss"]["name"] for run in runs)
    return _and(losses) if len(losses) > 1 else ""


def unlike_depths(runs: list["Run"]) -> bool:
    """Whether there are networks of several kinds, whose layers are not the same thing."""
    return len({run.recipe["model"]["name"] for run in runs} - {SURFACE}) > 1


def _examples_per_step(run: "Run") -> int:
    return int(run.recipe["batch_size"] or run.status["data"]["train"])


def _distinct(values: Iterable[str | int]) -> list[str | int]:  # in the order of the runs
    return list(dict.fromkeys(values))


def _and(words: Iterable[str | int]) -> str:
    """`a`, `a and b`, `a, b and c`; of more than four the first three and a number."""
    named = list(map(str, words))
    if len(named) > 4:
        named = [*named[:3], f"{len(named) - 3} others"]
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
