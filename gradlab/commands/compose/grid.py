"""From the words of a command line to recipes: the one place where Hydra works.

Hydra composes the groups, which are folders and files of `conf/` (`composition.py`). Numbers are set on the result by
their dotted keys, so that a grid over numbers composes once, and a wrong key can be reported with the right one
(`cells.py`). Only the compose API is used: no logging is set up, no launcher starts, nothing is written.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from gradlab.commands.compose import vetting
from gradlab.commands.compose.cells import has_name, option_defaults, values_of_cells
from gradlab.commands.compose.composition import composing
from gradlab.commands.compose.overrides import (
    Setting,
    differing_keys,
    grid_points,
    label,
    parse,
    parse_grid,
)
from gradlab.commands.compose.spelling import Groups, require_option, suggestion
from gradlab.recipe import options, small_files
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF, is_folder
from gradlab.recipe.recipe import (
    FAMILIES,
    LIMITS,
    LISTED,
    NESTED,
    Recipe,
    folder_name,
    leaves,
)

NO_TEXT = re.compile("[\\0\\ud800-\\udfff]")  # what neither recipe.yaml nor a path can hold
MOST_ERRORS = 20  # different ones that are reported at once


@dataclass(frozen=True)
class Grid:
    """The recipes of a command line, a label that distinguishes each of them, and the keys in which they differ.

    unfit: a line for each reason for which other recipes of the grid cannot be run.
    repeats: a line if there are cells whose recipe an earlier cell has; each recipe is run once.
    """

    recipes: list[Recipe]
    labels: list[str]
    keys: list[str]
    unfit: list[str]
    repeats: tuple[str, ...] = ()


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
    by_folder: dict[str, list[tuple[str, Recipe]]] = {}  # cells of one folder are one run
    errors: dict[str, list[str]] = {}
    keys: list[str] = []
    with composing(config_dirs) as compose:
        cell_values = values_of_cells(compose, groups)
        for experiment in _experiments(settings, groups):
            given = {setting.key: setting.values for setting in settings}
            paths = vetting.own_paths(given, config_dirs) if experiment else {}
            points = grid_points(_grids(experiment, settings, groups, multirun, config_dirs))
            differing = differing_keys(points)
            keys += differing
            for point in points:
                point_label = label(point, differing)
                try:
                    composed = recipe_of(_derived(cell_values(point), point))
                    vetting.require_own_paths(composed, paths)
                    recipe = check(vetting.require_trusted(composed, trusted))
                except RecipeError as error:
                    errors.setdefault(str(error), []).append(point_label)
                else:
                    folder = f"{recipe.outputs}/{recipe.study}/{folder_name(recipe)}"
                    by_folder.setdefault(folder, []).append((point_label, recipe))
    unfit = error_lines(errors)
    if unfit and not (skip_unfit and by_folder):
        cells = sum(map(len, errors.values()))
        others = f"{cells} of {cells + len(by_folder)} recipes cannot be run; --skip-unfit runs the others"
        raise RecipeError(*(with_advice(unfit, others) if by_folder else unfit))
    labels, recipes = zip(*(cells[0] for cells in by_folder.values()), strict=True)
    repeats = _repeats([[label for label, _ in cells] for cells in by_folder.values()])
    return Grid(list(recipes), list(labels), list(dict.fromkeys(keys)), unfit, repeats)


def error_lines(errors: Mapping[str, Sequence[str]]) -> list[str]:
    """One line for each error, with the labels of the recipes that have it; of very many errors the first ones."""
    lines = [_error_line(error, labels) for error, labels in errors.items()]
    if len(lines) <= MOST_ERRORS:
        return lines
    return [*lines[:MOST_ERRORS], f"and {len(lines) - MOST_ERRORS} more errors"]


def lines_with_advice(errors: Mapping[str, Sequence[str]], others: int) -> list[str]:
    """The lines of errors of a grid, and what to do to run its `others`."""
    lines = error_lines(errors)
    return with_advice(lines, f"--skip-unfit runs the other {others}") if others else lines


def with_advice(lines: list[str], advice: str) -> list[str]:
    """The lines with what to do: at the end of a single one, else in a line of its own."""
    return [f"{lines[0]}; {advice}"] if len(lines) == 1 else [*lines, advice]


def _error_line(error: str, labels: Sequence[str]) -> str:
    """An error once, after the labels of the recipes that have it; a single recipe has an empty label."""
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return f"{', '.join(labels[:3])}{more}: {error}" if labels[0] else error


def _repeats(labels_of_recipes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """A line about the cells whose recipe an earlier cell has, from the labels of the cells of each recipe."""
    cells = sum(map(len, labels_of_recipes))
    repeats = [
        name if name == first else f"{name} (as {first})"
        for first, *others in labels_of_recipes
        for name in others
    ]
    if not repeats:
        return ()
    more = f" and {len(repeats) - 3} more" if len(repeats) > 3 else ""
    names = f": {', '.join(repeats[:3])}{more}" if repeats[0] else ""
    verb = "repeats" if len(repeats) == 1 else "repeat"
    return (
        f"{len(repeats)} of {cells} cells {verb} the recipe of an earlier cell, which is run once{names}",
    )


def _derived(values: dict[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """The values with those that follow from what the point gives: a depth, the loss of an autoencoder."""
    data: Any = values.get("data")
    loss: Any = values.get("loss")
    is_encoder = has_name(data) and data["name"] not in ("csv", "parquet") and data.get("target") == "input"
    if is_encoder and "loss" not in point and has_name(loss) and loss["name"] == "cross_entropy":
        values = {**values, "loss": option_defaults("loss", "mse")}
    return _with_depth(values, point)


def _with_depth(values: dict[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the depth that a list of widths has, unless the point gives one; equal widths become one number.

    The first width is the input block's, which `depth` does not count.
    """
    widths = values.get("width")
    if not isinstance(widths, list) or len(widths) < 2:
        return values
    depth = values["depth"] if "depth" in point else len(widths) - 1
    is_one = depth == len(widths) - 1 and all(width == widths[0] for width in widths)
    return {**values, "depth": depth, "width": widths[0] if is_one else widths}


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
        if group in (*FAMILIES, *LISTED.values()) and not all(map(has_name, parts)):
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
    values["lr_factors"] = LIMITS["lr_factors"].check("lr_factors", values["lr_factors"])
    if isinstance(values["width"], list):
        values["width"] = tuple(LIMITS["width"].check("width", values["width"]))
    values["freeze"] = _texts("freeze", values["freeze"])
    if "probes" not in values:
        raise RecipeError("probe=[] measures nothing; name one or more")
    values.setdefault("snapshots", {})
    nested: dict[str, Any] = {
        key: kind(**_with_keys(key, values[key], {field.name for field in fields(kind)}))
        for key, kind in NESTED.items()
    }
    nested["stop"] = replace(nested["stop"], on=_texts("stop.on", nested["stop"].on))
    return Recipe(**{**values, **nested, "study": study, "outputs": outputs})


def _texts(key: str, value: Any) -> tuple[str, ...]:
    """A list of words as it is used; one word stands for a list of it."""
    texts: list[str] = LIMITS[key].check(key, [value] if isinstance(value, str) else value)
    return tuple(texts)


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
