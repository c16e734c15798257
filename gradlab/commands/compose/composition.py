"""The values that Hydra composes from choices of groups, as plain mappings, with references not yet resolved.

Hydra takes 0.1 s for a combination of choices, so that a grid over five groups would take minutes. Most options
write into their own group only: a part that was composed once with such an option is that of every combination with it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gradlab.commands.compose import vetting
from gradlab.recipe import small_files
from gradlab.recipe.paths import CONF
from gradlab.recipe.recipe import FAMILIES

Values = dict[str, Any]  # nested, as Hydra composes them; `${depth}` is a reference, `???` a missing value
Choices = dict[str, str]  # an option of each group that is chosen; a list of them is written as [a,b]
Compose = Callable[[Choices], Values]


@contextmanager
def composing(config_dirs: Sequence[Path]) -> Iterator[Compose]:
    """A function that composes choices. Its values are shared between the combinations: do not change them.

    It raises the errors of Hydra and OmegaConf.
    """
    places = [str(folder).replace("\\", "\\\\").replace("'", "\\'") for folder in config_dirs]
    search = [f"hydra.searchpath=['file://{place}']" for place in places]

    def compose_all(choices: Choices) -> Values:
        config = compose("config", overrides=[*search, *(f"{key}={value}" for key, value in choices.items())])
        values: Values = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]  # a mapping
        del values["engine"]  # it is no part of a recipe
        return values

    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield _sharing_parts(compose_all, config_dirs)


def _sharing_parts(compose_all: Compose, config_dirs: Sequence[Path]) -> Compose:
    """`compose_all`, called only for a combination with a choice that none before it had."""
    if any("$" in small_files.read(file) for file in vetting.option_files(config_dirs)):
        return (
            compose_all  # Hydra follows a reference of an option's file while it merges other files into it
        )

    is_separate = cache(lambda group, option: _is_separate(group, option, config_dirs))
    composed: dict[object, Values] = {}  # by the choices that are not separate, and the groups of the others
    parts: dict[object, Any] = {}  # by the same, and one choice of the others

    def compose_parts(choices: Choices) -> Values:
        separate = {group: option for group, option in choices.items() if is_separate(group, option)}
        common = (tuple(separate), *(choice for choice in choices.items() if choice[0] not in separate))
        known = {group: parts.get((common, group, option)) for group, option in separate.items()}
        if common in composed and None not in known.values():
            return composed[common] | known
        composed[common] = values = compose_all(choices)
        parts.update({(common, group, option): values[group] for group, option in separate.items()})
        return values

    return compose_parts


def _is_separate(group: str, option: str, config_dirs: Sequence[Path]) -> bool:
    """Whether the file of an option can write into its own group only."""
    files = [folder / group / f"{option}.yaml" for folder in (CONF, *config_dirs)]
    text = next((small_files.read(file) for file in files if file.is_file()), "@package")
    return group in FAMILIES and "@package" not in text and "defaults" not in text
