"""Files that others wrote, checked before Hydra reads them: data, never instructions.

An option or an experiment may come from a colleague or from the internet. It may choose options and set values; it
may not read the environment, leave its folder, change Hydra's own settings, or fill the memory.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from gradlab.recipe import small_files
from gradlab.recipe.errors import RecipeError, reason_of
from gradlab.recipe.paths import CONF
from gradlab.recipe.recipe import Recipe, is_import_path, named

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")  # no dots, no slashes: a name cannot leave its folder
_MOST_NODES, _MOST_LEVELS, _LONGEST_NUMBER = 10_000, 50, 300
_NUMBER = re.compile(r"[-+]?[0-9][0-9a-fA-FxXoO_:.]*$")
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REFERENCE = re.compile(r"\$\{[A-Za-z_][\w.]*\}")  # ${depth} is allowed, ${oc.env:TOKEN} and ${${a}} are not
_FUNCTION = re.compile(
    r"(?<![\w.])[\w.]+:[\w.]+"
)  # begins where a word does, lest a long one take its square
PATH_KEYS = ("outputs", "data.path")  # what is written where, and which of the user's files are read


def check_option(path: Path) -> None:
    """Check the file of an option in a `--config-dir`.

    Raises:
        RecipeError: if it does more than name a part and its numbers.
    """
    content = _mapping(path)
    for key in ("hydra", "defaults", "_target_"):
        if key in content:
            raise RecipeError(f"{path}: the file of an option may not contain '{key}'")
    if not isinstance(content.get("name"), str):
        raise RecipeError(f"{path}: the file of an option needs a name, as in 'name: norm'")


def read_experiment(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    """The file of an experiment as (its choices, its grids, whether it runs as a grid).

    Raises:
        RecipeError: if it does more than choose options, set values and list grids.
    """
    content = _mapping(path)
    if "outputs" in content:
        raise RecipeError(f"{path}: the output folder is set on the command line only: outputs=…")
    lines = content.get("defaults") or []
    for line in lines if isinstance(lines, list) else [lines]:
        _check_default(path, line)
    hydra = content.pop("hydra", None) or {}
    if not _has_only_mode_and_grid(hydra):
        raise RecipeError(f"{path}: of hydra only 'mode' and 'sweeper.params' may be set")
    params = hydra.get("sweeper", {}).get("params", {})
    grids = params if isinstance(params, list) else [params]
    if any(key.partition(".")[0] == "engine" for keys in (content, *grids) for key in keys):
        raise RecipeError(f"{path}: the engine is chosen on the command line only: engine=…")
    mode = hydra.get("mode")
    if mode not in (None, "RUN", "MULTIRUN"):
        raise RecipeError(f"{path}: hydra.mode={mode} is not RUN or MULTIRUN")
    return content, grids, mode == "MULTIRUN"


def _has_only_mode_and_grid(hydra: Any) -> bool:
    if not isinstance(hydra, dict) or not set(hydra) <= {"mode", "sweeper"}:
        return False
    sweeper = hydra.get("sweeper", {})
    if not isinstance(sweeper, dict) or not set(sweeper) <= {"params"}:
        return False
    params = sweeper.get("params", {})  # a grid, or a list of grids that run one after the other
    return isinstance(params, dict) or (
        isinstance(params, list) and bool(params) and all(isinstance(grid, dict) for grid in params)
    )


def trusted_functions(texts: Iterable[str], config_dirs: Iterable[Path]) -> set[str]:
    """Every `package.module:function` in the command line's values and in the options' files of the config dirs.

    Experiments are not trusted, those of the config dirs included.
    """
    all_texts = [*texts, *map(small_files.read, option_files(config_dirs))]
    return {name for text in all_texts for name in _FUNCTION.findall(text)}


def option_files(folders: Iterable[Path]) -> list[Path]:
    """The files of options in these folders, those of experiments left out."""
    files = [file for folder in folders for file in small_files.listed(folder, "*/*.yaml")]
    return [file for file in files if file.parent.name != "experiments"]


def require_trusted(recipe: Recipe, trusted: set[str]) -> Recipe:
    """The recipe, if all functions that it names are trusted or Optax's optimizers.

    It is checked when everything is composed, because an experiment may quote and refer.

    Raises:
        RecipeError: naming the function that is not trusted.
    """
    for group, name in named(recipe):
        if is_import_path(name) and not _FUNCTION.fullmatch(name):
            raise RecipeError(f"{group}={name} is not the name of a function, package.module:function")
        if is_import_path(name) and name not in trusted and not (group == "optimizer" and in_optax(name)):
            raise RecipeError(
                f"{group}={name} names a function, which an experiment may not; put it into the file of an "
                "option in your --config-dir, or on the command line"
            )
    return recipe


def require_plain_references(values: Any, place: str = "") -> None:
    """Check unresolved values, through lists and mappings: a `$` stands in references like `${depth}` and nowhere else.

    A resolver could read the environment, in whatever way its name is written or put together.

    Raises:
        RecipeError: beginning with `place`.
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            require_plain_references(key, place)
            require_plain_references(value, place)
    elif isinstance(values, list | tuple):
        for value in values:
            require_plain_references(value, place)
    elif isinstance(values, str) and "$" in _REFERENCE.sub("", values):
        raise RecipeError(f"{place}write the values themselves; resolvers (${{oc.env:…}}) are not allowed")


def own_paths(given: Mapping[str, Iterable[Any]], config_dirs: Iterable[Path]) -> dict[str, set[str]]:
    """The values that each key of a path may have: those of the command line, `given` by key, and of options' files."""
    paths: dict[str, set[str]] = {key: set(map(str, given.get(key, ()))) for key in PATH_KEYS}
    for file in [CONF / "config.yaml", *option_files([CONF, *config_dirs])]:
        text = small_files.read(file)
        for key in PATH_KEYS:
            if f"{key.rpartition('.')[2]}:" in text:
                values = _content(file, text)
                group, _, name = key.rpartition(".")
                part = values.get(group, values) if group == file.parent.name or not group else {}
                paths[key] |= {str(part[name])} if isinstance(part, dict) and name in part else set()
    return paths


def require_own_paths(recipe: Recipe, allowed: Mapping[str, set[str]]) -> Recipe:
    """The recipe, if its paths are among those `allowed`.

    It is checked when everything is composed, because an experiment may set a key in many ways.

    Raises:
        RecipeError: naming the path that an experiment sets.
    """
    given = {"outputs": recipe.outputs, **{f"data.{key}": value for key, value in recipe.data.items()}}
    for key, paths in allowed.items():
        if key in given and str(given[key]) not in paths:
            raise RecipeError(
                f"{key}={given[key]}: an experiment may not set a path; write it on the command line"
            )
    return recipe


def in_optax(name: str) -> bool:
    """Whether `optax:lamb` is one of Optax's optimizers, and nothing else that could be reached from there."""
    from gradlab.parts.optimizers.optax_functions import optax_function

    with suppress(RecipeError):
        return name.startswith("optax:") and bool(optax_function(name))
    return False


def _check_default(path: Path, line: Any) -> None:
    """Refuse a line of a defaults list that is not `override /group: option` with plain names."""
    if line == "_self_":
        return
    ((key, names),) = line.items() if isinstance(line, dict) and len(line) == 1 else (("", ""),)
    names = names if isinstance(names, list) else [names]
    if len(names) > 1 and str(key) == "override /clip":
        raise RecipeError(
            f"{path}: clips one after the other are chosen in the grid, clip: '[{','.join(map(str, names))}]'"
        )
    is_group = re.fullmatch(r"override /(?!(experiment|engine)$)\w+", str(key))
    if not is_group or not all(PLAIN.fullmatch(str(name)) for name in names):
        raise RecipeError(f"{path}: '{line}' in defaults is not '- override /group: option'")


def _mapping(path: Path) -> dict[str, Any]:
    """The file's content with unresolved references, if it is a small mapping without resolvers."""
    content = _content(path, small_files.read(path))
    if not isinstance(content, dict):
        raise RecipeError(f"{path} is not a mapping of keys to values")
    _require_text_keys(path, content)
    require_plain_references(content, f"{path}: ")
    return content


def _require_text_keys(path: Path, values: Any) -> None:
    """Check the keys of all mappings, through lists; YAML makes a number of `1:` and a flag of `yes:`."""
    entries = list(values.items()) if isinstance(values, dict) else [("", value) for value in values]
    for key, value in entries:
        if not isinstance(key, str):
            raise RecipeError(f"{path}: the key {key} is not text; put quotes around it")
        if isinstance(value, dict | list):
            _require_text_keys(path, value)


def _content(path: Path, text: str) -> Any:
    """What the file's YAML says, with unresolved references; it is looked through before anything is made of it."""
    try:
        _check_events(path, text)
        _count_nodes(path, yaml.compose(text, Loader=yaml.SafeLoader))
        return OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except RecipeError:
        raise
    except Exception as error:  # a tag or a date makes PyYAML raise Python's own errors too
        reason = reason_of(error, 120)
        raise RecipeError(f"{path} cannot be read as YAML: {reason}") from None


def _check_events(path: Path, text: str) -> None:
    """Refuse too many entries, too deep ones, and numbers that are too long, as the parser meets them."""
    level = 0
    for count, event in enumerate(yaml.parse(text, Loader=_PARSER)):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if count > 2 * _MOST_NODES or level > _MOST_LEVELS:
            raise RecipeError(_too_large(path))
        if (
            isinstance(event, yaml.ScalarEvent)
            and len(event.value) > _LONGEST_NUMBER
            and _NUMBER.match(event.value)
        ):
            raise RecipeError(f"{path}: a number of {len(event.value):,} digits is too long")


def _too_large(path: Path) -> str:
    return f"{path}: too large or too deep for a file of an option or experiment"


def _count_nodes(
    path: Path, node: yaml.Node | None, level: int = 0, counts: dict[int, int] | None = None
) -> int:
    """The number of nodes with all aliases expanded (nine lines can expand to 9^9 nodes); refuses too many."""
    counts = {} if counts is None else counts
    if node is None or id(node) in counts:
        return counts.get(id(node), 0)
    entries = node.value if isinstance(node, yaml.CollectionNode) else []
    children = [child for entry in entries for child in (entry if isinstance(entry, tuple) else (entry,))]
    count = 1 + sum(_count_nodes(path, child, level + 1, counts) for child in children)
    if level > _MOST_LEVELS or count > _MOST_NODES:
        raise RecipeError(_too_large(path))
    counts[id(node)] = count
    return count
