"""What of several runs cannot be compared, and why: one line for each matter."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from gradlab.store.write import table_files

if TYPE_CHECKING:
    from gradlab.store.read import Run

Value = TypeVar("Value", str, int)
SURFACE = "point"  # model=point has no layers
# what a layer of the depth axis is; any other model has layers of its own kind
_MODELS_OF_LAYERS = {
    "dense layers": "mlp perceptron linear",
    "convolutions": "cnn lenet alexnet vgg",
    "residual blocks": "resnet resnet_imagenet",
    "recurrent layers": "rnn lstm gru recurrent_highway",
}
LAYERS = {model: kind for kind, models in _MODELS_OF_LAYERS.items() for model in models.split()}


def differences(runs: list["Run"]) -> list[str]:
    """A line for each matter in which the runs are not of one kind: scores, losses, tasks, depth, steps."""
    from gradlab.analysis.score import score_of

    foreign = [run.name for run in runs if run.is_foreign]
    layers = _kinds_of_layers(runs)
    runs = [run for run in runs if not run.is_foreign]
    models = _distinct(run.recipe["model"]["name"] for run in runs)
    examples = _distinct(_examples_per_step(run) for run in runs)
    tasks = _distinct(run.status["data"].get("name", run.recipe["data"]["name"]) for run in runs)
    scores = _distinct(score_of(run.status["data"]).name for run in runs)
    lines = [
        f"scores are not compared: {_and(scores)}" if len(scores) > 1 else "",
        f"losses are not compared: {unlike_losses(runs)}" if unlike_losses(runs) else "",
        f"the tasks differ: {_and(tasks)}; so do their chance levels" if len(tasks) > 1 else "",
        "a surface (model=point) has no layers: it has no profile and no gain"
        if SURFACE in models and layers
        else "",
        f"layers differ in kind, so profiles are drawn over relative depth: {_and(layers)}"
        if len(layers) > 1
        else "",
        f"a step is a gradient of {_and(map(str, examples))} examples: the numbers of steps are not compared"
        if len(examples) > 1
        else "",
        f"of {_and(foreign)} only what was recorded is known, not task, loss function or chance level"
        if foreign
        else "",
    ]
    return [line for line in lines if line]


def unlike_losses(runs: list["Run"]) -> str:
    """The loss functions of runs that have several, "" if they have one or are all surfaces, which have only losses."""
    runs = [run for run in runs if not run.is_foreign]  # of those nobody knows it
    losses = _distinct(str(run.recipe["loss"]["name"]) for run in runs)
    surfaces_only = all(run.recipe["model"]["name"] == SURFACE for run in runs)
    return _and(losses) if len(losses) > 1 and not surfaces_only else ""


def unlike_layers(runs: list["Run"]) -> bool:
    """Whether there are networks whose layers are not the same kind of thing."""
    return len(_kinds_of_layers(runs)) > 1


def _kinds_of_layers(runs: list["Run"]) -> list[str]:
    with_layers = (run for run in runs if run.is_foreign and table_files(run.folder, "layers"))
    foreign = ["recorded layers" for _ in with_layers]
    names = _distinct(str(run.recipe["model"]["name"]) for run in runs if not run.is_foreign)
    kinds = [LAYERS.get(name, f"layers of {name}") for name in names if name != SURFACE]
    return _distinct([*kinds, *foreign])


def _examples_per_step(run: "Run") -> int:
    return int(run.recipe["batch_size"] or run.status["data"]["train"])


def _distinct(values: Iterable[Value]) -> list[Value]:
    """The values in the order of the runs, each once."""
    return list(dict.fromkeys(values))


def _and(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; of more than four the first three and a number."""
    named = list(words)
    if len(named) > 4:
        named = [*named[:3], f"{len(named) - 3} others"]
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
