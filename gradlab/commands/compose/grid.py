"""From the words of a command line to recipes: the one place where Hydra works.

Hydra composes the groups, which are folders and files of `conf/`. Numbers are set on the result by their
dotted keys, so that a grid over numbers composes once, and a wrong key can be told by its right name.
Only the compose API is used: no logging is set up, no launcher starts, nothing is written.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
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
    PLAIN,
    Cell,
    Setting,
    all_cells,
    differing,
    label,
    read,
    read_grid,
)
from gradlab.commands.compose.spelling import SYNONYMS, meant, suggest
from gradlab.recipe import options
from gradlab.recipe.bounds import bound
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF
from gradlab.recipe.recipe import BOUNDS, FAMILIES, Every, Recipe, Stop, flat, folder_name


@dataclass(frozen=True)
class Grid:
    """What a command line asks for: recipes, what tells each from the others, and which keys differ."""

    recipes: list[Recipe]
    labels: list[str]
    keys: list[str]


def grid(
    words: Sequence[str],
    check: Callable[[Recipe], Recipe],
    multirun: bool = False,
    config_dir: Path | None = None,
) -> Grid:
    """The recipes of `gradlab run WORDS`; all wrong cells are told in one RecipeError before any runs."""
    own = _own(config_dir)
    groups = options.groups(*own)
    settings = read([word.lstrip("+") for word in words], groups)  # +experiment=x means experiment=x
    trusted = vetting.trusted([repr(setting.values) for setting in settings], own)
    found: dict[str, tuple[str, Recipe]] = {}  # two cells of one folder are one run
    wrong: dict[str, list[str]] = {}
    keys: list[str] = []
    with _hydra(own) as composed:
        for name in _experiments(settings, groups):
            rows = all_cells(_grids(name, settings, groups, multirun, own))
            differ = differing(rows)
            keys += differ
            for cell in rows:
                said = label(cell, differ)
                try:
                    recipe = check(vetting.harmless(_recipe(cell, groups, composed), trusted))
                    found.setdefault(f"{recipe.study}/{folder_name(recipe)}", (said, recipe))
                except RecipeError as error:
                    wrong.setdefault(str(error), []).append(said)
    if wrong:
        raise RecipeError("\n".join(_told(error, where) for error, where in wrong.items()))
    labels, recipes = zip(*found.values(), strict=True)
    return Grid(list(recipes), list(labels), list(dict.fromkeys(keys)))


def _told(error: str, wrong: list[str]) -> str:
    """An error once, with the cells that have it; what it says of all cells it says for itself."""
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return f"{', '.join(wrong[:3])}{more}: {error}" if wrong[0] else error


def recipe_of(values: dict[str, Any]) -> Recipe:
    """A Recipe from nested plain values; bounds and parts are checked by `gradlab.engine.setup.check`."""
    known = [field.name for field in fields(Recipe)]
    for key in values:
        if key not in known:
            raise RecipeError(f"there is no option '{key}'{meant(key, known)}")
    for group, part in values.items():
        parts = part.values() if group == "probes" and isinstance(part, dict) else [part]
        if group in (*FAMILIES, "probes") and not all(_named(one) for one in parts):
            raise RecipeError(f"{group} is chosen by an option's name, got {part}")
    study, outputs = str(values["study"]), str(values["outputs"])  # study=2026 is a name
    if not outputs or values["outputs"] is None:
        raise RecipeError("outputs= must name a folder")
    if not PLAIN.fullmatch(study.replace(".", "_")) or study.startswith("."):
        raise RecipeError(f"study={study} must be a plain name: letters, digits, '.', '_', '-'")
    values["lr_factors"] = bound(BOUNDS["lr_factors"]).check("lr_factors", values["lr_factors"])
    if "probes" not in values:
        raise RecipeError("probe=[] measures nothing; name one or more")
    every = {key: Every(**_keys(key, values[key], {"every"})) for key in ("log", "eval")}
    stop = Stop(**_keys("stop", values["stop"], {"patience", "loss"}))
    return Recipe(**{**values, **every, "stop": stop, "study": study, "outputs": outputs})


def _named(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("name"), str)


def _keys(key: str, value: Any, wanted: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != wanted:
        names = " and ".join(f"{key}.{word}" for word in sorted(wanted))
        raise RecipeError(f"{key} has {'one key' if len(wanted) == 1 else 'the keys'}: {names}")
    return value


def _own(config_dir: Path | None) -> list[Path]:
    """One's own folder of options, looked through before Hydra sees it."""
    if config_dir is None:
        return []
    if not config_dir.is_dir():
        raise RecipeError(f"--config-dir {config_dir}: there is no such folder")
    families = [group for group in options.groups() if group != "experiment"]
    for path in sorted(config_dir.glob("*/*.yaml")):
        group = path.parent.name
        if group == "experiments":
            continue  # looked at when chosen
        if group not in families:
            raise RecipeError(
                f"{path}: there is no group '{group}'{meant(group, [*families, 'experiments'])}"
            )
        if (CONF / path.parent.name / path.name).is_file():
            raise RecipeError(f"{path}: gradlab has an option of this name already; give yours another")
        vetting.option(path)
    return [config_dir.resolve()]


@contextmanager
def _hydra(own: Sequence[Path]) -> Iterator[Any]:
    """A function from group choices to the composed config, remembered per set of choices."""
    places = [str(folder).replace("\\", "\\\\").replace("'", "\\'") for folder in own]
    search = [f"hydra.searchpath=['file://{place}']" for place in places]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield lru_cache(maxsize=None)(lambda chosen: compose("config", overrides=[*search, *chosen]))


def _experiments(settings: Iterable[Setting], groups: dict[str, list[str]]) -> list[str]:
    """The experiments asked for; `""` when there is none."""
    names = [name for setting in settings if setting.key == "experiment" for name in setting.values]
    for name in names:
        _known("experiment", name, groups)
    return names or [""]


def _grids(
    name: str, settings: list[Setting], groups: dict[str, list[str]], multirun: bool, own: Sequence[Path]
) -> list[list[Setting]]:
    """The settings of one experiment: its grid, or several, narrowed or widened by the command line."""
    content, params, mode = _experiment(name, own)
    said = {setting.key: setting for setting in settings}
    for key in said:
        if key.startswith("hydra") and key != "hydra.mode":
            raise RecipeError(f"'{key}' cannot be set: of hydra only hydra.mode=RUN|MULTIRUN")
    asked = said.pop("hydra.mode", Setting("", ("MULTIRUN" if multirun or mode else "RUN",))).values[0]
    if asked not in ("RUN", "MULTIRUN"):
        raise RecipeError(f"hydra.mode={asked} is not RUN or MULTIRUN")
    for setting in said.values():
        if setting.sweep and asked == "RUN" and not multirun:
            values = ",".join(map(str, setting.values[:8]))
            raise RecipeError(f"{setting.key}={values} is a grid: add -m")
    if name:
        said["experiment"] = Setting("experiment", (name,))
        ConfigStore.instance().store(name=name, node=content, group="experiment", package="_global_")
    grids = params if asked == "MULTIRUN" else [{}]
    return [
        list(({setting.key: setting for setting in read_grid(one, groups)} | said).values()) for one in grids
    ]


def _experiment(name: str, own: Sequence[Path]) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    return vetting.experiment(options.experiments(*own)[name]) if name else ({}, [{}], False)


def _recipe(cell: Cell, groups: dict[str, list[str]], composed: Any) -> Recipe:
    """One cell: Hydra composes its groups, then its numbers are set."""
    own = {_group(key): value for key, value in cell.items() if _is_own(key, value, groups)}
    rest = {key: value for key, value in cell.items() if not _is_own(key, value, groups)}
    chosen = [_choice(key, value, groups) for key, value in rest.items() if key in groups]
    try:
        config = copy.deepcopy(composed(tuple(chosen)))
        for group, name in own.items():
            OmegaConf.update(config, group, {"name": name}, merge=False)
        _set(config, {key: value for key, value in rest.items() if key not in groups}, groups)
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise RecipeError(" ".join(str(error).splitlines()[0].split())) from None
    assert isinstance(values, dict)
    return recipe_of({str(key): _whole(str(key), value) for key, value in values.items()})


def _group(key: str) -> str:
    return key.removesuffix(".name")


def _is_own(key: str, value: Any, groups: dict[str, list[str]]) -> bool:
    """`activation=my_pkg.acts:snake` or `optimizer.name=optax:lamb`: a function by its place, no option's name."""
    return isinstance(value, str) and ":" in value and _group(key) in set(groups) - {"probe", "experiment"}


def _whole(group: str, part: Any) -> Any:
    """A part with the defaults of its option where its file, or its list of phases, leaves them out."""
    if not _named(part) or group not in FAMILIES:
        return part
    whole = {**_defaults(group, part["name"]), **_common(group, part["name"]), **part}
    if isinstance(whole.get("phases"), list):
        whole["phases"] = [
            {**_numbers(group, one["optimizer"]), **one}
            if isinstance(one, dict) and "optimizer" in one
            else one
            for one in whole["phases"]
        ]
    return whole


def _common(group: str, name: str) -> dict[str, Any]:
    """The keys that a function of one's own shares with every option of its group, as these have them."""
    from gradlab.engine.families import FAMILIES

    keys = FAMILIES[group].common if ":" in name else {}
    known = [_defaults(group, option) for option in options.groups()[group]]
    having = next((one for one in known if keys.keys() <= one.keys()), {})
    return {key: having[key] for key in keys}


def _numbers(group: str, name: Any) -> dict[str, Any]:
    return {key: value for key, value in _defaults(group, str(name)).items() if key != "name"}


@cache
def _defaults(group: str, name: str) -> dict[str, Any]:
    """What an option's file says of its part, wherever in the recipe it puts it."""
    file = CONF / group / f"{name}.yaml"
    if not PLAIN.fullmatch(name) or not file.is_file():
        return {}
    values = OmegaConf.to_container(OmegaConf.load(file))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.get(group, values).items()}


def _choice(group: str, value: Any, groups: dict[str, list[str]]) -> str:
    names = value if isinstance(value, list) and group == "probe" else [value]
    for name in names:
        _known(group, name, groups)
    return f"{group}=[{','.join(map(str, names))}]" if group == "probe" else f"{group}={value}"


def _known(group: str, name: Any, groups: dict[str, list[str]]) -> None:
    if not isinstance(name, str) or not PLAIN.fullmatch(name) or name not in groups[group]:
        shown = "null" if name is None else name
        home = next((f"{other}={name}" for other, names in groups.items() if name in names), "")
        home = home or (
            f"optimizer=optax:{name}" if group == "optimizer" and vetting.in_optax(f"optax:{name}") else ""
        )
        wanted = f"; did you mean '{home}'?" if home else meant(str(name), groups[group])
        raise RecipeError(f"there is no {group} '{shown}'{wanted}")


def _set(config: DictConfig, numbers: Cell, groups: dict[str, list[str]]) -> None:
    """Set each number by its key; a key that is not there is told by its right name."""
    known = flat(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]
    settable = [*(key for key in known if not key.endswith(".name")), "lr_factors"]
    settable += [key for key in numbers if ":" in str(known.get(f"{key.partition('.')[0]}.name", ""))]
    for key, value in numbers.items():
        if key.endswith(".name") and key in known:
            raise RecipeError(
                f"'{key}' is chosen with its numbers: write {key.partition('.')[0].rstrip('s')}={value}"
            )
        if key not in settable:
            home = next((f"; did you mean '{group}={key}'?" for group in groups if key in groups[group]), "")
            told = _elsewhere(key, config, settable) or meant(key, [*settable, *groups]) or home
            raise RecipeError(f"there is no option '{key}'{told}")
        OmegaConf.update(config, key, value, merge=False, force_add=True)  # it was looked up above


def _elsewhere(key: str, config: DictConfig, settable: list[str]) -> str:
    """`clip.threshold` of a clip that has none: say which options have it; `clip.c`: what this one has."""
    group, _, name = key.partition(".")
    if group not in options.groups() or not name or name in {*settable, *SYNONYMS}:
        return ""
    if name in options.groups()[group]:
        return f"; did you mean '{group}={name}'?"
    having = [option for option in options.groups()[group] if name in options.parameters(group, option)]
    if not having:
        own = [one.partition(".")[2] for one in settable if one.startswith(f"{group}.")]
        near = suggest(name, own)
        told = (
            f"did you mean '{group}.{near}'?"
            if near
            else f"{group}={config[group].name} has {', '.join(own)}"
        )
        return f"; {told}" if own else ""
    homes = ", ".join(f"{group}={option}" for option in having)
    return f" for {group}={config[group].name}; it belongs to {homes}"
