"""What recipe.yaml and status.json hold, checked whenever they are read: a folder may come from anyone.

Nothing is read beyond a limit, and what is read has the types and bounds that readers rely on.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gradlab.measurements.columns import READABLE, RESULTS, STATES
from gradlab.recipe import options
from gradlab.recipe.bounds import Bound, bound
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.recipe.recipe import BOUNDS, FAMILIES, LATER_DEFAULTS, flat
from gradlab.store import files

# bytes; the largest in use have thousands of columns, or of seeds
LARGEST_RECIPE, LARGEST_STATUS = 2**20, 2**24
DEEPEST = 16  # mappings and lists in each other
ORIGIN = "origin"  # the entry of recipe.yaml and status.json that only a foreign run has, one not trained by gradlab
ORIGINS = ("ingested", "recorded")  # from a log of another program, or by a training loop through `Recorder`
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class OneLine:
    """A limit: a text without line breaks, as all that stand in sentences."""

    def check(self, key: str, value: Any) -> str:
        """The text.

        Raises:
            RecipeError: it is none, or has several lines.
        """
        if not isinstance(value, str) or value != one_line(value):
            raise RecipeError(f"{key}={value} must be a line of text")
        return value


# what the entries of status.json must be: [kind] is a list of them, {str: kind} a mapping with any keys, and
# (kind, None) may be null
_TEXT, _COUNT, _SIZE, _NUMBER = OneLine(), Bound(int, 0, 2**63), Bound(int, 1, 2**63), Bound(float)
_DATA = {
    "name": _TEXT,
    "source": _TEXT,
    "metric": _TEXT,
    "train": _SIZE,
    "test": _SIZE,
    "judged": _COUNT,
    "practised": _COUNT,
    "shape": [_COUNT],
    "features": _SIZE,
    "vocabulary": _COUNT,
    "outputs": Bound(int, 1, 10**6),  # classes or tokens: theory draws logits for each
    "balanced_errors": [(_NUMBER, None)],
    "chance_accuracy": (Bound(float, 0, 1), None),
    "second_moment": (Bound(float, 0), None),
    "cosine": (Bound(float, -1, 1.0001), None),
    "effective_rank": (Bound(float, 0), None),
    "chance_loss": (_NUMBER, None),
}
_SEED_AND_STEP = {"seed": _COUNT, "step": _COUNT}
STATUS: dict[str, Any] = {
    "state": Bound(str, among=STATES),
    "message": _TEXT,
    "name": _TEXT,
    "steps_done": _COUNT,
    "started": _TEXT,
    "versions": {str: _TEXT},
    "device": _TEXT,
    "device_kind": _TEXT,
    "threads": _COUNT,
    "data": _DATA,
    "nonfinite": [{**_SEED_AND_STEP, "layer": (_COUNT, None), "name": (_TEXT, None), "where": _TEXT}],
    "stopped": [{**_SEED_AND_STEP, "why": _TEXT}],
    "parameters": _COUNT,
    "compile_seconds": _NUMBER,
    "seconds": _NUMBER,
}
_NOT_ALWAYS: dict[str, Any] = {
    "files": {str: _TEXT},  # this one and the next two: only in runs of schema 4
    "digest": _TEXT,
    "used": [_TEXT],
    "memory_mib": _NUMBER,  # this one or the next, by the system
    "process_peak_mib": _NUMBER,
    "flops_per_step": (_COUNT, None),
    "probe_seconds": {str: _NUMBER},
}
_OF_A_FOREIGN_RUN: dict[str, Any] = {ORIGIN: Bound(str, among=ORIGINS), "format": _TEXT}
_LIMITS = {key: bound(annotation) for key, annotation in BOUNDS.items()}
_FROM_THE_START = ("state", "message")  # what a run has that ended before its data were read
_IN_A_FOREIGN_RUN = (*_FROM_THE_START, "name", "steps_done", "started", "versions", "nonfinite")
_ALWAYS_IN_DATA = ("source", "train", "test", "features", "outputs", "second_moment", "cosine", "chance_loss")


def read_recipe(folder: Path) -> dict[str, Any]:
    """The recipe of a stored run.

    Raises:
        RecipeError: it cannot be read, or is no recipe.
    """
    try:
        text = files.read(folder, "recipe.yaml", LARGEST_RECIPE).decode("utf-8")
        _require_plain(text)
        recipe = yaml.load(text, _YAML)
    except RecipeError:
        raise
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RecipeError(_corrupt(folder / "recipe.yaml", error)) from error
    if problem := _recipe_problem(recipe):
        raise RecipeError(
            f"{folder}/recipe.yaml is not a recipe ({problem}); run the recipe again with --force"
        )
    return dict(recipe)


def _require_plain(text: str) -> None:
    """Raise a ValueError for YAML that is nested too deep, or in which a text stands for another."""
    depth = 0
    for event in yaml.parse(text, _YAML):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"an alias, *{event.anchor}")


def read_status(folder: Path) -> dict[str, Any]:
    """What status.json of a run holds, whether or not it is what was written.

    Raises:
        RecipeError: it cannot be read, or is no status of a schema that this version reads.
    """
    path = folder / "status.json"
    try:
        status = json.loads(files.read(folder, "status.json", LARGEST_STATUS), parse_constant=_refuse)
    except RecipeError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(_corrupt(path, error)) from error
    schema = status.get("schema") if isinstance(status, dict) else None
    if schema not in READABLE and isinstance(schema, int):
        raise RecipeError(
            f"{folder} was written with schema {schema}, and this version of gradlab reads "
            f"{' and '.join(map(str, READABLE))}; run its recipe again"
        )
    if problem := _status_problem(status):
        raise RecipeError(f"{path} is corrupt ({problem}); run its recipe again")
    return dict(status)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _corrupt(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0][:120]
    return f"{path} is corrupt ({reason}); run its recipe again with --force"


def _status_problem(status: Any) -> str:
    if not isinstance(status, dict):
        return "it has no keys"
    if "state" not in status:
        return "it has no state"
    if problem := _mismatch(status, STATUS | _NOT_ALWAYS | _OF_A_FOREIGN_RUN):
        return problem
    data = status.get("data")
    required = tuple(STATUS) if status["state"] in RESULTS else _FROM_THE_START
    if ORIGIN in status:
        if data is not None:
            return "it describes the data of a run that gradlab has not trained"
        required = _IN_A_FOREIGN_RUN
    absent = [key for key in required if key not in status]
    absent += [f"data.{key}" for key in _ALWAYS_IN_DATA if data is not None and key not in data]
    if absent:
        return f"it has no {absent[0]}"
    if data and data.get("metric") == "bits" and data["chance_loss"] is None:
        return "data.chance_loss is null"
    if data and (data["second_moment"] is None) != (data["cosine"] is None):
        return "one of data.second_moment and data.cosine is null"
    return ""


def _mismatch(value: Any, kind: Any, key: str = "") -> str:
    """Which entry of a value is not of the kind that it must be, "" if all are."""
    if isinstance(kind, tuple):
        return "" if value is None else _mismatch(value, kind[0], key)
    if isinstance(kind, list | dict):
        if not isinstance(value, type(kind)):
            return f"{key} is {_short(value)}"
        return next(filter(None, (_mismatch(*entry) for entry in _entries(value, kind, key))), "")
    try:
        kind.check(key, value)
    except (RecipeError, OverflowError):
        return f"{key} is {_short(value)}"
    return ""


def _short(value: Any) -> str:
    return ascii(value)[:40]


def _entries(value: Any, kind: Any, key: str) -> Iterator[tuple[Any, Any, str]]:
    """The entries of a list or mapping, each with its kind and its key."""
    if isinstance(kind, list):
        yield from ((entry, kind[0], f"{key}.{index}") for index, entry in enumerate(value))
        return
    for name, entry in value.items():
        if name in kind or str in kind:
            yield entry, kind.get(name, kind.get(str)), f"{key}.{name}".lstrip(".")


def _recipe_problem(recipe: Any) -> str:
    """Why a mapping is not a recipe, "" if it is one; user-defined parts may have any parameters."""
    if not isinstance(recipe, dict) or not all(isinstance(key, str) for key in recipe):
        return "it has no keys"
    if ORIGIN in recipe:
        return _foreign_problem(recipe)
    for family in FAMILIES:
        if problem := _part_problem(family, recipe.get(family)):
            return problem
    by_key = flat(recipe)
    for key, limit in _LIMITS.items():
        head, _, tail = key.partition(".")
        if tail and not isinstance(recipe.get(head, {}), dict):
            return f"{head} is {_short(recipe[head])}"
        value = recipe.get(key) if key in recipe else by_key.get(key, LATER_DEFAULTS.get(key))
        if value is None:
            return f"it has no {key}"
        if problem := _mismatch(value, limit, key):
            return problem
    return ""


def _foreign_problem(recipe: dict[str, Any]) -> str:
    """Why a mapping is not what is known of a foreign run, "" if it is: where it is from, and parts of a recipe."""
    origin, known = recipe[ORIGIN], flat(recipe)
    if not (isinstance(origin, dict) and isinstance(origin.get("source"), str)):
        return f"{ORIGIN} has no source"
    if problem := _mismatch(origin, {str: _TEXT}, ORIGIN):
        return problem
    for key, value in recipe.items():
        if key in FAMILIES and (problem := _part_problem(key, value)):
            return problem
        if key not in (*FAMILIES, ORIGIN) and key not in _LIMITS:
            return f"{ascii(key)[:40]} is no part of a recipe"
    stated = {key: limit for key, limit in _LIMITS.items() if key in known}
    return next(filter(None, (_mismatch(known[key], limit, key) for key, limit in stated.items())), "")


def _part_problem(family: str, part: Any) -> str:
    if not (isinstance(part, dict) and isinstance(part.get("name"), str)):
        return f"it has no {family}"
    for key, default in _number_defaults(family, part["name"]).items():
        value = part.get(key, default)
        if value != "auto" and (problem := _mismatch(value, _NUMBER, f"{family}.{key}")):
            return problem
    phases = part.get("phases", [])
    if not (isinstance(phases, list) and all(isinstance(phase, dict) for phase in phases)):
        return f"{family}.phases is no list of phases"
    return ""


@cache
def _number_defaults(family: str, name: str) -> Mapping[str, float]:
    """The parameters of an option of `conf/` that are numbers, with their defaults."""
    numbers = {}
    for key, text in options.parameters(family, name).items():
        try:
            numbers[key] = float(text)
        except ValueError:
            continue
    return numbers
