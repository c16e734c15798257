"""From a point of a grid to the plain values of its recipe: its choices are composed, then its numbers are set.

What depends only on the choices, and on which numbers are given, is done once for all points that share them.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from gradlab.commands.compose import chains, probes, references, vetting
from gradlab.commands.compose.composition import Compose, Values
from gradlab.commands.compose.overrides import GridPoint
from gradlab.commands.compose.spelling import Groups, require_key, require_option
from gradlab.recipe import options
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF
from gradlab.recipe.recipe import FAMILIES, LISTED, flat, is_import_path


@dataclass(frozen=True)
class Combination:
    """What the points of a grid have in common that differ in the values of numbers only.

    values: composed from their choices, with references.
    is_literal: whether no value is a reference or missing.
    """

    values: Values
    is_literal: bool


def values_of_cells(compose: Compose, groups: Groups) -> Callable[[GridPoint], Values]:
    """A function from a point of a grid to the values of its recipe; it raises RecipeError, each time for a bad point.

    The mappings below the first level are shared between points: do not change them.
    """
    combinations: dict[str, Combination | RecipeError] = {}

    def cell_values(point: GridPoint) -> Values:
        point = {probes.full_key(_full_key(key), groups): value for key, value in point.items()}
        choices = {key: value for key, value in point.items() if _is_choice(key, value, groups)}
        numbers = {key: value for key, value in point.items() if key not in choices}
        names = [(key, numbers[key]) if key.endswith(".name") else key for key in numbers]
        place = repr((choices, names))
        if place not in combinations:
            combinations[place] = _combination_or_error(choices, numbers, groups, compose)
        combination = combinations[place]
        if isinstance(combination, RecipeError):
            raise combination.with_traceback(None)  # it would grow with each raise
        values = _with_numbers(combination, numbers)
        return {key: _with_defaults(key, value) for key, value in values.items()}

    return cell_values


def _full_key(key: str) -> str:
    """The key of a recipe: `clips.norm.threshold` is written for `clip.clips.norm.threshold`."""
    return f"clip.{key}" if key.startswith("clips.") else key


def has_name(part: Any) -> bool:
    """Whether a value describes a part."""
    return isinstance(part, dict) and isinstance(part.get("name"), str)


def _combination_or_error(
    choices: GridPoint, numbers: GridPoint, groups: Groups, compose: Compose
) -> Combination | RecipeError:
    try:
        return _combination(choices, numbers, groups, compose)
    except RecipeError as error:
        return error


def _combination(choices: GridPoint, numbers: GridPoint, groups: Groups, compose: Compose) -> Combination:
    """The values that Hydra composes, with user-defined functions in them; the keys of the numbers are checked."""
    choices, optional = probes.by_kind(choices, groups)
    functions = {
        key: value for key, value in choices.items() if key not in groups or _is_function(key, value)
    }
    links = chains.links(choices.get("clip"))
    one_each = choices | ({"clip": "chain"} if links else {})
    named = {key: _choice(key, value, groups) for key, value in one_each.items() if key not in functions}
    with references.errors_in_one_line():
        values = compose(named)
        if links:
            values = values | {"clip": chains.chain(links, values["clip"], named, compose, groups)}
    values = values | {key.removesuffix(".name"): {"name": name} for key, name in functions.items()}
    for group, field in LISTED.items():
        if added := list(filter(is_import_path, probes.names(choices.get(group)))):
            values[field] = _with_listed(values.get(field), group, added)
    if optional:
        values = values | {
            field: probes.marked(values[field], optional) for field in LISTED.values() if field in values
        }
    _check_keys(values, numbers, groups)
    return Combination(values, references.is_literal(values))


def _is_choice(key: str, value: Any, groups: Groups) -> bool:
    return key in groups or (_is_function(key, value) and key.removesuffix(".name") in groups)


def _is_function(key: str, value: Any) -> bool:
    """Whether a user-defined function is chosen: `activation=my_pkg.acts:snake`, `optimizer.name=optax:lamb`."""
    group = key.removesuffix(".name")
    return isinstance(value, str) and is_import_path(value) and group not in (*LISTED, "experiment")


def _choice(group: str, value: Any, groups: Groups) -> str:
    """The option of a group, or the list of probes or snapshots, as Hydra takes it."""
    if group not in LISTED:
        require_option(group, value, groups)
        return str(value)
    chosen = [name for name in probes.names(value) if not is_import_path(name)]
    for name in chosen:
        require_option(group, name, {**groups, group: probes.names_of(group, groups)})
    return f"[{','.join(dict.fromkeys(chosen))}]"


def _with_listed(parts: Any, group: str, names: list[str]) -> Values:
    """The probes or snapshots with user-defined ones, each under the name of its function.

    Raises:
        RecipeError: if there is one of that name.
    """
    listed: Values = dict(parts) if isinstance(parts, dict) else {}
    for name in names:
        key = name.rpartition(":")[2].replace(".", "_")
        if key in listed:
            raise RecipeError(f"{group}={name}: there is a {group} of that name already; rename the function")
        listed[key] = {"name": name}
    return listed


def _check_keys(values: Values, numbers: GridPoint, groups: Groups) -> None:
    """Refuse a number whose key these values do not have.

    Raises:
        RecipeError: naming the key that was probably meant.
    """
    by_key = flat(values)
    settable = [*(key for key in by_key if not key.endswith(".name")), "lr_factors", *chains.mappings(values)]
    # the parameters of a user-defined function are not in any file
    settable += [
        key for key in numbers if is_import_path(str(by_key.get(f"{key.rpartition('.')[0]}.name", "")))
    ]
    for key in numbers:
        if key.endswith(".name") and key in by_key:
            field = key.partition(".")[0]
            group = next((group for group, listed in LISTED.items() if listed == field), field)
            raise RecipeError(f"'{key}' cannot be set by itself; write {group}={numbers[key]}")
        chains.require_link(key, values)
        require_key(key, by_key, settable, groups)


def _with_numbers(combination: Combination, numbers: GridPoint) -> Values:
    """The values with the numbers set, and with what the references then refer to.

    Raises:
        RecipeError: for what is no plain reference, for a reference to nothing, and for a missing value.
    """
    values = dict(combination.values)
    for key, number in numbers.items():
        _set(values, key, copy.deepcopy(number))
    if combination.is_literal and references.is_literal(numbers):
        return values
    return references.resolved(values)


def _set(values: Values, key: str, number: Any) -> None:
    """Set a value by its dotted key, in copies of the mappings that contain it."""
    *parents, last = key.split(".")
    for parent in parents:
        inner = values.get(parent)
        values[parent] = dict(inner) if isinstance(inner, dict) else {}
        values = values[parent]
    values[last] = number


def _with_defaults(group: str, part: Any) -> Any:
    """A part with the defaults of its option for the keys that its file, or its list of phases, leaves out."""
    if not has_name(part) or group not in FAMILIES:
        return part
    complete = {**option_defaults(group, part["name"]), **_common_defaults(group, part["name"]), **part}
    if group == "clip" and isinstance(complete.get("clips"), dict):
        complete["clips"] = {name: _link_with_defaults(link) for name, link in complete["clips"].items()}
    if isinstance(complete.get("phases"), list):
        complete["phases"] = [_phase_with_defaults(group, phase) for phase in complete["phases"]]
    return complete


def _link_with_defaults(link: Any) -> Any:
    if not has_name(link):
        return link
    defaults = option_defaults("clip", link["name"])
    return {**{key: value for key, value in defaults.items() if key != "where"}, **link}


def _phase_with_defaults(group: str, phase: Any) -> Any:
    if not isinstance(phase, dict) or "optimizer" not in phase:
        return phase
    defaults = option_defaults(group, str(phase["optimizer"]))
    return {**{key: value for key, value in defaults.items() if key != "name"}, **phase}


@cache
def _common_defaults(group: str, name: str) -> Values:
    """The keys that a user-defined function shares with every option of its group, with the options' defaults."""
    from gradlab.engine.families import FAMILIES

    if not is_import_path(name):
        return {}
    keys = FAMILIES[group].common
    all_defaults = [option_defaults(group, option) for option in options.groups()[group]]
    having = next((defaults for defaults in all_defaults if keys.keys() <= defaults.keys()), {})
    return {key: having[key] for key in keys}


@cache
def option_defaults(group: str, name: str) -> Values:
    """The part that the file of an option describes, wherever in the recipe the file puts it."""
    file = CONF / group / f"{name}.yaml"
    if not vetting.PLAIN.fullmatch(name) or not file.is_file():
        return {}
    values = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.get(group, values).items()}
