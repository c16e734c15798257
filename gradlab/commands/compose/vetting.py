"""Files that others wrote, looked at before Hydra reads them: data, never instructions.

An option or an experiment may come from a colleague or from the net. It may choose and set; it may not
read the environment, leave its folder, reach Hydra's own machinery, or fill the memory.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gradlab.commands.compose.overrides import PLAIN
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, named

_MOST_BYTES, _MOST_NODES, _MOST_DEEP = 1 << 20, 10_000, 50
_RESOLVER = re.compile(r"\$\{[^}]*:")  # ${oc.env:TOKEN}; ${depth} is fine


def option(path: Path) -> None:
    """Refuse an option's file of one's own `--config-dir` that does more than name a part and its numbers."""
    content = _mapping(path)
    for key in ("hydra", "defaults", "_target_"):
        if key in content:
            raise RecipeError(f"{path}: an option may not hold '{key}'")
    if not isinstance(content.get("name"), str):
        raise RecipeError(f"{path}: an option has a name, as in 'name: norm'")


def experiment(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    """An experiment's file as (its choices, its grids, whether it is run as a grid)."""
    content = _mapping(path)
    if "outputs" in content:
        raise RecipeError(f"{path}: where things go is said on the command line: outputs=…")
    lines = content.get("defaults") or []
    for line in lines if isinstance(lines, list) else [lines]:
        _default(path, line)
    hydra = content.pop("hydra", None) or {}
    if not _grid_only(hydra):
        raise RecipeError(f"{path}: of hydra only 'mode' and 'sweeper.params' may be set")
    params = hydra.get("sweeper", {}).get("params", {})
    grids = params if isinstance(params, list) else [params]
    mode = hydra.get("mode")
    if mode not in (None, "RUN", "MULTIRUN"):
        raise RecipeError(f"{path}: hydra.mode={mode} is not RUN or MULTIRUN")
    return content, grids, mode == "MULTIRUN"


def _grid_only(hydra: Any) -> bool:
    """Whether nothing but a mode and a grid is set of Hydra."""
    if not isinstance(hydra, dict) or not set(hydra) <= {"mode", "sweeper"}:
        return False
    sweeper = hydra.get("sweeper", {})
    if not isinstance(sweeper, dict) or not set(sweeper) <= {"params"}:
        return False
    params = sweeper.get("params", {})  # a grid, or a list of grids run one after the other
    return isinstance(params, dict) or (
        isinstance(params, list) and bool(params) and all(isinstance(one, dict) for one in params)
    )


def trusted(texts: Iterable[str], own: Iterable[Path]) -> set[str]:
    """Every `package.module:function` in the command line's values and in the options' files of one's own folders.

    Their experiments are no more trusted than others.
    """
    files = [file for folder in own for file in folder.glob("*/*.yaml") if file.parent.name != "experiments"]
    every = [*texts, *(file.read_text("utf-8") for file in files)]
    return {name for text in every for name in re.findall(r"[\w.]+:[\w.]+", text)}


def harmless(recipe: Recipe, known: set[str]) -> Recipe:
    """The recipe, if all code that it names is known, or one of Optax's optimizers.

    Asked when all is composed, since an experiment may quote and refer.
    """
    for group, name in named(recipe):
        if ":" in name and name not in known and not (group == "optimizer" and in_optax(name)):
            raise RecipeError(
                f"{group}={name} names code, which an experiment may not; put it into an option's file of your "
                "--config-dir, or on the command line"
            )
    return recipe


def in_optax(name: str) -> bool:
    """Whether `optax:lamb` is one of Optax's optimizers, and nothing else that could be reached from there."""
    from gradlab.parts.optimizers.rules import optax_function

    with suppress(RecipeError):
        return name.startswith("optax:") and bool(optax_function(name))
    return False


def _default(path: Path, line: Any) -> None:
    """Refuse a line of a defaults list that is not `override /group: option` with plain names."""
    if line == "_self_":
        return
    ((key, names),) = line.items() if isinstance(line, dict) and len(line) == 1 else (("", ""),)
    names = names if isinstance(names, list) else [names]
    if not re.fullmatch(r"override /\w+", str(key)) or not all(PLAIN.fullmatch(str(name)) for name in names):
        raise RecipeError(f"{path}: '{line}' of the defaults is not '- override /group: option'")


def _mapping(path: Path) -> dict[str, Any]:
    """The file's content, references unresolved, when it is a small mapping without resolvers."""
    if path.stat().st_size > _MOST_BYTES:
        raise RecipeError(f"{path}: larger than 1 MiB, not a file of options")
    try:
        text = path.read_text("utf-8")
        _small(path, yaml.compose(text, Loader=yaml.SafeLoader))
        content = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise RecipeError(f"{path} cannot be read as YAML: {reason}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{path} is not a mapping of keys to values")
    if _RESOLVER.search(text):
        raise RecipeError(f"{path}: write values themselves, resolvers (${{oc.env:…}}) are not taken")
    return {str(key): value for key, value in content.items()}


def _small(path: Path, node: yaml.Node | None, depth: int = 0, seen: dict[int, int] | None = None) -> int:
    """How many nodes the tree has once aliases are written out: nine lines can make nine to the ninth."""
    seen = {} if seen is None else seen
    if node is None or id(node) in seen:
        return seen.get(id(node), 0)
    children = node.value if isinstance(node, yaml.CollectionNode) else []
    children = [part for pair in children for part in (pair if isinstance(pair, tuple) else (pair,))]
    count = 1 + sum(_small(path, child, depth + 1, seen) for child in children)
    if depth > _MOST_DEEP or count > _MOST_NODES:
        raise RecipeError(f"{path}: too large or too deep for a file of options")
    seen[id(node)] = count
    return count
