"""The command line that runs a recipe again."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from gradlab.recipe import options
from gradlab.recipe.recipe import FAMILIES, LATER_DEFAULTS, LISTED, NESTED, NOT_IN_DIGEST, is_import_path
from gradlab.store.contents import ORIGIN

SIMPLE = (bool, int, float, str)


def command(recipe: Mapping[str, Any]) -> str:
    """`gradlab run model=mlp depth=50 …`: each part by its name, and the numbers that are not their option's defaults.

    "" where a recipe has what no single word of a command line can say: a chain of clips, phases of optimizers,
    thresholds by pattern; and of a foreign run, whose recipe nobody knows.
    """
    if ORIGIN in recipe:
        return ""
    try:
        words = [*_parts(recipe), *_probes(recipe), *_root(recipe)]
    except _NoWordError:
        return ""
    return shlex.join(["gradlab", "run", *words])


class _NoWordError(ValueError):
    """A value has no form as a word."""


def _parts(recipe: Mapping[str, Any]) -> Iterator[str]:
    for family in FAMILIES:
        part = recipe[family]
        yield f"{family}={part['name']}"
        yield from _numbers(family, part)


def _numbers(group: str, part: Mapping[str, Any]) -> Iterator[str]:
    """The numbers of a part that differ from the defaults of its option."""
    defaults = options.parameters(group, part["name"])
    for key, value in part.items():
        if key == "name" or LATER_DEFAULTS.get(f"{group}.{key}", _NoWordError) == value:
            continue
        if not _same(value, defaults.get(key)):
            yield f"{group}.{key}={_word(value)}"


def _probes(recipe: Mapping[str, Any]) -> Iterator[str]:
    """The probes where they are not those that every run has, and how often each looks."""
    measured = [name for group in LISTED.values() for name in recipe.get(group, {})]
    standard = [*options.presets()["standard"], "recurrent_spectrum"]
    if set(measured) - {"recurrent_spectrum"} != set(standard) - {"recurrent_spectrum"}:
        yield f"probe=[{','.join(name for name in measured if name != 'recurrent_spectrum')}]"
    for group, field in LISTED.items():
        for name, part in recipe.get(field, {}).items():
            if is_import_path(part["name"]):
                raise _NoWordError
            defaults = {"every": "1"} | options.parameters(group, part["name"])
            for key, value in part.items():
                if key != "name" and not _same(value, defaults.get(key)):
                    yield f"{field}.{name}.{key}={_word(value)}"


def _root(recipe: Mapping[str, Any]) -> Iterator[str]:
    """The keys of the recipe itself; sizes and seed always, the others where they are not the defaults."""
    defaults = options.keys()
    always = ("depth", "width", "steps", "lr", "seed")
    groups = (*FAMILIES, *LISTED.values(), *NOT_IN_DIGEST)
    for key, value in recipe.items():
        if key in groups:
            continue
        nested = {f"{key}.{name}": entry for name, entry in value.items()} if key in NESTED else {key: value}
        for name, entry in nested.items():
            default = defaults[name][0] if name in defaults else None
            if name in always or not _same(entry, default):
                yield f"{name}={_word(entry)}"


def _same(value: Any, default: str | None) -> bool:
    """Whether a value is the default that stands in a file of `conf/`."""
    if default is None:
        return False
    if isinstance(value, bool):
        return str(value).lower() == default
    if isinstance(value, int | float):
        try:
            return float(default) == value
        except ValueError:
            return False
    if isinstance(value, str):
        return value == default.strip("'\"")
    return str(value) == default if not value else False


def _word(value: Any) -> str:
    """A value as a command line has it.

    Raises:
        _NoWordError: it is a mapping, or a list of other than plain values.
    """
    if isinstance(value, list) and all(isinstance(entry, SIMPLE) for entry in value):
        return f"[{','.join(map(_word, value))}]"
    if not isinstance(value, SIMPLE):
        raise _NoWordError
    return str(value).lower() if isinstance(value, bool) else str(value)
