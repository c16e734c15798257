"""From the words of a command line to recipes: the one place where Hydra works.

Hydra composes the groups, which are folders and files of `conf/`. Numbers are set on the result by their
dotted keys, so that a grid over numbers composes once, and a wrong key can be reported with the right one.
Only the compose API is used: no logging is set up, no launcher starts, nothing is written.
"""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gradlab.commands.compose import vetting
from gradlab.commands.compose.overrides import (
    GridPoint,
    Setting,
    differing_keys,
    grid_points,
    label,
    parse,
    parse_grid,
)
from gradlab.commands.compose.spelling import Groups, require_key, require_option, suggestion
from gradlab.recipe import options, small_files
from gradlab.recipe.bounds import bound
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF, is_folder
from gradlab.recipe.recipe import (
    BOUNDS,
    FAMILIES,
    LISTED,
    Every,
    Recipe,
    Stop,
    flat,
    folder_name,
    is_import_path,
    leaves,
)

NO_TEXT = re.compile("[\\0\\ud800-\\udfff]")  # what neither recipe.yaml nor a path can hold
MOST_ERRORS = 20  # different ones that are reported at once
Compose = Callable[[tuple[str, ...]], DictConfig]  # from choices of groups to the composed config


@dataclass(frozen=True)
class Grid:
    """The recipes of a command line, a label that distinguishes each of them, and the keys in which they differ.

    unfit: a line for each reason for which other recipes of the grid cannot be run.
    """

    recipes: list[Recipe]
    labels: list[str]
    keys: list[str]
    unfit: list[str]


def grid(
    words: Sequence[str], multirun: bool = False, config_dir: Path | None = None, skip_unfit: bool = False
) -> Grid:
    """The checked recipes of `gradlab run WORDS`, each once; with `skip_unfit` those that can be run.

    Raises:
        RecipeError: with everything that is wrong with any of them, before any of them runs; with `skip_unfit` if none
            can be run.
    """
    from gradlab.engine.checks import check  # it needs JAX, which the help of a command does not

    config_dirs = _checked_config_dirs(config_dir)
    groups = options.groups(*config_dirs)
    settings = parse([word.lstrip("+") for word in words], groups)  # +experiment=x means experiment=x
    trusted = vetting.trusted_functions([repr(setting.values) for setting in settings], config_dirs)
    by_folder: dict[str, tuple[str, Recipe]] = {}  # points of equal recipes are one run
    errors: dict[str, list[str]] = {}
    keys: list[str] = []
    with _hydra(config_dirs) as compose_groups:
        for experiment in _experiments(settings, groups):
            given = {setting.key: setting.values for setting in settings}
            paths = vetting.own_paths(given, config_dirs) if experiment else {}
            points = grid_points(_grids(experiment, settings, groups, multirun, config_dirs))
            differing = differing_keys(points)
            keys += differing
            for point in points:
                point_label = label(point, differing)
                try:
                    composed = _recipe(point, groups, compose_groups)
                    vetting.require_own_paths(composed, paths)
                    recipe = check(vetting.require_trusted(composed, trusted))
                except RecipeError as error:
                    errors.setdefault(str(error), []).append(point_label)
                else:
                    by_folder.setdefault(f"{recipe.study}/{folder_name(recipe)}", (point_label, recipe))
    unfit = error_lines(errors)
    if unfit and not (skip_unfit and by_folder):
        cells = sum(map(len, errors.values()))
        others = f"{cells} of {cells + len(by_folder)} recipes cannot be run; --skip-unfit runs the others"
        raise RecipeError(*(with_advice(unfit, others) if by_folder else unfit))
    labels, recipes = zip(*by_folder.values(), strict=True)
    return Grid(list(recipes), list(labels), list(dict.fromkeys(keys)), unfit)


def error_lines(errors: Mapping[str, Sequence[str]]) -> list[str]:
    """One line for each error, with the labels of the recipes that have it; of very many errors the first ones."""
    lines = [_error_line(error, labels) for error, labels in errors.items()]
    if len(lines) <= MOST_ERRORS:
        return lines
    return [*lines[:MOST_ERRORS], f"and {len(lines) - MOST_ERRORS} more errors"]


def with_advice(lines: list[str], advice: str) -> list[str]:
    """The lines with what to do: at the end of a single one, else in a line of its own."""
    return [f"{lines[0]}; {advice}"] if len(lines) == 1 else [*lines, advice]


def _error_line(error: str, labels: Sequence[str]) -> str:
    """An error once, after the labels of the recipes that have it; a single recipe has an empty label."""
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return f"{', '.join(labels[:3])}{more}: {error}" if labels[0] else error


def recipe_of(values: dict[str, Any]) -> Recipe:
    """A Recipe from nested plain values; `gradlab.engine.checks.check` checks bounds and parts.

    Raises:
        RecipeError: for a value that does not fit into a recipe.
    """
    names = [field.name for field in fields(Recipe)]
    for key in values:
        if key not in names:
            raise RecipeError(f"there is no option '{key}'{suggestion(key, names)}")
    for group, part in values.items():
        parts = part.values() if group in LISTED.values() and isinstance(part, dict) else [part]
        if group in (*FAMILIES, *LISTED.values()) and not all(map(_has_name, parts)):
            raise RecipeError(f"{group} is chosen by an option's name, got {part}")
    for key, value in leaves(values).items():
        if NO_TEXT.search(f"{key}={value}"):
            raise RecipeError(f"{key}={value} is not text in UTF-8")
    for key in ("study", "outputs"):  # study=2026 is a name
        if type(values[key]) not in (str, int, float):
            raise RecipeError(f"{key}={values[key]} must be a name")
    study, outputs = str(values["study"]), str(values["outputs"])
    if not outputs:
        raise RecipeError("outputs= must name a folder")
    if not vetting.PLAIN.fullmatch(study.replace(".", "_")) or study.startswith("."):
        raise RecipeError(f"study={study} must be a plain name: letters, digits, '.', '_', '-'")
    values["lr_factors"] = bound(BOUNDS["lr_factors"]).check("lr_factors", values["lr_factors"])
    values["freeze"] = _texts("freeze", values["freeze"])
    if "probes" not in values:
        raise RecipeError("probe=[] measures nothing; name one or more")
    values.setdefault("snapshots", {})
    intervals = {key: Every(**_with_keys(key, values[key], {"every"})) for key in ("log", "eval")}
    stop = Stop(**_with_keys("stop", values["stop"], {field.name for field in fields(Stop)}))
    stop = replace(stop, on=_texts("stop.on", stop.on))
    return Recipe(**{**values, **intervals, "stop": stop, "study": study, "outputs": outputs})


def _texts(key: str, value: Any) -> tuple[str, ...]:
    """A list of words as it is used; one word stands for a list of it."""
    texts: list[str] = bound(BOUNDS[key]).check(key, [value] if isinstance(value, str) else value)
    return tuple(texts)


def _has_name(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("name"), str)


def _with_keys(key: str, value: Any, keys: set[str]) -> dict[str, Any]:
    """`value`, if it is a mapping with exactly these keys."""
    if not isinstance(value, dict) or set(value) != keys:
        names = ", ".join(f"{key}.{word}" for word in sorted(keys))
        raise RecipeError(f"{key} has {'one key' if len(keys) == 1 else 'the keys'}: {names}")
    return value


def _checked_config_dirs(config_dir: Path | None) -> list[Path]:
    """The user's folder of options, if there is one, checked before Hydra reads it."""
    if config_dir is None:
        return []
    if not is_folder(config_dir):
        raise RecipeError(f"--config-dir {config_dir}: there is no such folder")
    families = [group for group in options.groups() if group != "experiment"]
    for path in small_files.listed(config_dir, "*/*.yaml"):
        group = path.parent.name
        if group == "experiments":
            continue  # checked when chosen
        if group not in families:
            hint = suggestion(group, [*families, "experiments"])
            raise RecipeError(f"{path}: there is no group '{group}'{hint}")
        if (CONF / path.parent.name / path.name).is_file():
            raise RecipeError(f"{path}: gradlab already has an option of this name; give yours another name")
        vetting.check_option(path)
    return [config_dir.resolve()]


@contextmanager
def _hydra(config_dirs: Sequence[Path]) -> Iterator[Compose]:
    """A function that composes the config of some choices of groups, cached by these choices."""
    places = [str(folder).replace("\\", "\\\\").replace("'", "\\'") for folder in config_dirs]
    search = [f"hydra.searchpath=['file://{place}']" for place in places]

    def compose_groups(choices: tuple[str, ...]) -> DictConfig:
        return compose("config", overrides=[*search, *choices])

    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield lru_cache(maxsize=None)(compose_groups)


def _experiments(settings: Iterable[Setting], groups: Groups) -> list[str]:
    """The names of the experiments; `""` alone if there is none."""
    names = [name for setting in settings if setting.key == "experiment" for name in setting.values]
    for name in names:
        require_option("experiment", name, groups)
    return names or [""]


def _grids(
    experiment: str, settings: list[Setting], groups: Groups, multirun: bool, config_dirs: Sequence[Path]
) -> list[list[Setting]]:
    """The grids of one experiment (one, or the several of its file), with the settings of the command line in them."""
    choices, grids, is_grid = _read_experiment(experiment, config_dirs)
    overrides = {setting.key: setting for setting in settings}
    for key in overrides:
        if key.startswith("hydra") and key != "hydra.mode":
            raise RecipeError(f"'{key}' cannot be set; of hydra only hydra.mode=RUN|MULTIRUN can")
    default_mode = Setting("hydra.mode", ("MULTIRUN" if multirun or is_grid else "RUN",))
    mode = overrides.pop("hydra.mode", default_mode).values[0]
    if mode not in ("RUN", "MULTIRUN"):
        raise RecipeError(f"hydra.mode={mode} is not RUN or MULTIRUN")
    for setting in overrides.values():
        if setting.sweep and mode == "RUN" and not multirun:
            values = ",".join(map(str, setting.values[:8]))
            raise RecipeError(f"{setting.key}={values} is a grid: add -m")
    if experiment:
        overrides["experiment"] = Setting("experiment", (experiment,))
        store = ConfigStore.instance()
        store.store(name=experiment, node=choices, group="experiment", package="_global_")
    axes = [parse_grid(params, groups) for params in (grids if mode == "MULTIRUN" else [{}])]
    return [
        list(({setting.key: setting for setting in grid_axes} | overrides).values()) for grid_axes in axes
    ]


def _read_experiment(
    name: str, config_dirs: Sequence[Path]
) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    return vetting.read_experiment(options.experiments(*config_dirs)[name]) if name else ({}, [{}], False)


def _recipe(point: GridPoint, groups: Groups, compose_groups: Compose) -> Recipe:
    """The recipe of one grid point: Hydra composes its groups, then its numbers are set."""
    functions = {
        key.removesuffix(".name"): value for key, value in point.items() if _is_function(key, value, groups)
    }
    others = {key: value for key, value in point.items() if not _is_function(key, value, groups)}
    choices = tuple(_choice(key, value, groups) for key, value in others.items() if key in groups)
    try:
        config = copy.deepcopy(compose_groups(choices))
        for group, name in functions.items():
            OmegaConf.update(config, group, {"name": name}, merge=False)
        for group, field in LISTED.items():
            for name in filter(is_import_path, _names(point.get(group))):
                function = name.rpartition(":")[2].replace(".", "_")
                _add_listed(config, f"{field}.{function}", group, name)
        _set_numbers(config, {key: value for key, value in others.items() if key not in groups}, groups)
        vetting.require_plain_references(OmegaConf.to_container(config, resolve=False))
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        place = getattr(error, "full_key", None)
        raise RecipeError(
            f"{f'{place}: ' if place else ''}{' '.join(str(error).splitlines()[0].split())}"
        ) from None
    assert isinstance(values, dict)
    del values["engine"]  # it is no part of a recipe
    return recipe_of({str(key): _with_defaults(str(key), value) for key, value in values.items()})


def _names(value: Any) -> list[str]:
    """The names in the choice of a group that takes a list."""
    return list(map(str, value if isinstance(value, list) else [] if value is None else [value]))


def _add_listed(config: DictConfig, key: str, group: str, name: str) -> None:
    """Add a user-defined probe or snapshot, under the name of its function.

    Raises:
        RecipeError: if there is one of that name.
    """
    if OmegaConf.select(config, key) is not None:
        raise RecipeError(f"{group}={name}: there is a {group} of that name already; rename the function")
    OmegaConf.update(config, key, {"name": name}, merge=False, force_add=True)


def _is_function(key: str, value: Any, groups: Groups) -> bool:
    """Whether a user-defined function is chosen: `activation=my_pkg.acts:snake`, `optimizer.name=optax:lamb`."""
    group = key.removesuffix(".name")
    return isinstance(value, str) and is_import_path(value) and group in set(groups) - {*LISTED, "experiment"}


def _with_defaults(group: str, part: Any) -> Any:
    """A part with the defaults of its option for the keys that its file, or its list of phases, leaves out."""
    if not _has_name(part) or group not in FAMILIES:
        return part
    complete = {**_defaults(group, part["name"]), **_common_defaults(group, part["name"]), **part}
    if isinstance(complete.get("phases"), list):
        complete["phases"] = [_phase_with_defaults(group, phase) for phase in complete["phases"]]
    return complete


def _phase_with_defaults(group: str, phase: Any) -> Any:
    if not isinstance(phase, dict) or "optimizer" not in phase:
        return phase
    defaults = _defaults(group, str(phase["optimizer"]))
    return {**{key: value for key, value in defaults.items() if key != "name"}, **phase}


def _common_defaults(group: str, name: str) -> dict[str, Any]:
    """The keys that a user-defined function shares with every option of its group, with the options' defaults."""
    from gradlab.engine.families import FAMILIES

    if not is_import_path(name):
        return {}
    keys = FAMILIES[group].common
    all_defaults = [_defaults(group, option) for option in options.groups()[group]]
    having = next((defaults for defaults in all_defaults if keys.keys() <= defaults.keys()), {})
    return {key: having[key] for key in keys}


@cache
def _defaults(group: str, name: str) -> dict[str, Any]:
    """The part that the file of an option describes, wherever in the recipe the file puts it."""
    file = CONF / group / f"{name}.yaml"
    if not vetting.PLAIN.fullmatch(name) or not file.is_file():
        return {}
    values = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.get(group, values).items()}


def _choice(group: str, value: Any, groups: Groups) -> str:
    """The choice of a group's option, or of a list of probes or snapshots, as Hydra takes it; `all` is every option."""
    if group not in LISTED:
        require_option(group, value, groups)
        return f"{group}={value}"
    chosen = [name for name in _names(value) if not is_import_path(name)]
    names = [option for name in chosen for option in (options.groups()[group] if name == "all" else [name])]
    for name in names:
        require_option(group, name, {**groups, group: [*groups[group], "all"]})
    return f"{group}=[{','.join(dict.fromkeys(names))}]"


def _set_numbers(config: DictConfig, numbers: GridPoint, groups: Groups) -> None:
    """Set each number by its dotted key, or raise a RecipeError for a key that does not exist."""
    values = flat(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]  # it is a dict
    settable = [*(key for key in values if not key.endswith(".name")), "lr_factors"]
    # the parameters of a user-defined function are not in any file
    settable += [
        key for key in numbers if is_import_path(str(values.get(f"{key.rpartition('.')[0]}.name", "")))
    ]
    for key, value in numbers.items():
        if key.endswith(".name") and key in values:
            field = key.partition(".")[0]
            group = next((group for group, listed in LISTED.items() if listed == field), field)
            raise RecipeError(f"'{key}' cannot be set by itself; write {group}={value}")
        require_key(key, values, settable, groups)
        OmegaConf.update(config, key, value, merge=False, force_add=True)
