"""The engine of a command line: not a part of any recipe, as it changes no stored number."""

from collections.abc import Sequence
from typing import Any

from gradlab.commands.compose.cells import option_defaults
from gradlab.commands.compose.overrides import Setting, parse
from gradlab.commands.compose.spelling import require_option
from gradlab.recipe import options
from gradlab.recipe.errors import RecipeError

# launchers of Hydra, and the engine that does the same
LAUNCHERS = {
    "basic": "inline",
    "joblib": "local",
    "submitit_local": "local",
    "submitit_slurm": "slurm",
    "ray": "ray",
}


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that choose the engine, and the others.

    Raises:
        RecipeError: a word chooses a launcher of Hydra.
    """
    chosen: list[str] = []
    others: list[str] = []
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        if key.startswith(("hydra/launcher", "hydra.launcher")):
            engine = LAUNCHERS.get(value, "local")
            raise RecipeError(f"'{key}' is Hydra's; gradlab's engine for it is engine={engine}")
        (chosen if key.partition(".")[0] == "engine" else others).append(word)
    return chosen, others


def part(words: Sequence[str]) -> dict[str, Any]:
    """The engine that these words choose, `engine=local engine.workers=4`, with its defaults, checked.

    Raises:
        RecipeError: there is no such engine, or a value is not allowed, or one of several.
    """
    from gradlab.launch.engines.contract import engine  # it needs JAX, which the help of a command does not

    groups = options.groups()
    settings = parse([word.lstrip("+") for word in words], groups)
    values = {setting.key: _value(setting) for setting in settings}
    name = values.pop("engine", options.default("engine"))
    require_option("engine", name, groups)
    chosen = {key.removeprefix("engine."): value for key, value in values.items()}
    return engine.check(option_defaults("engine", name) | chosen)


def _value(setting: Setting) -> Any:
    if setting.sweep:
        values = ",".join(map(str, setting.values))
        raise RecipeError(f"{setting.key}={values}: one engine carries a whole grid; give one value")
    return setting.values[0]
