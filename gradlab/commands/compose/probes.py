"""`probe=…` takes every probe: those of the step, those with a program of their own (snapshots), and sets of them."""

from typing import Any, NamedTuple

from gradlab.commands.compose.overrides import GridPoint
from gradlab.commands.compose.spelling import Groups
from gradlab.recipe.options import ALL, presets

DEFAULT_SNAPSHOTS = ("recurrent_spectrum",)


class Sorted(NamedTuple):
    """Choices whose `probe` and `snapshot` hold their own names only; optional: those that only sets name."""

    choices: GridPoint
    optional: tuple[str, ...] = ()


def names_of(group: str, groups: Groups) -> list[str]:
    """What may stand in `probe=[…]` or `snapshot=[…]`."""
    own = [*groups["probe"], *groups["snapshot"], *presets()] if group == "probe" else groups["snapshot"]
    return [*own, ALL]


def names(value: Any) -> list[str]:
    """The names in the choice of a group that takes a list."""
    return list(map(str, value if isinstance(value, list) else [] if value is None else [value]))


def full_key(key: str, groups: Groups) -> str:
    """The key of a recipe: `snapshots.sharpness.every` where `probes.sharpness.every` is written."""
    field, _, tail = key.partition(".")
    return f"snapshots.{tail}" if field == "probes" and _is_snapshot(tail.partition(".")[0], groups) else key


def by_kind(choices: GridPoint, groups: Groups) -> Sorted:
    """The choices with sets expanded, and the snapshots among the names of `probe` in `snapshot`.

    A set brings its own snapshots; a name is added to those that are there.
    """
    if not {"probe", "snapshot"} & choices.keys():
        return Sorted(choices)
    of_sets, named = _expanded(names(choices.get("probe")), [*groups["probe"], *groups["snapshot"]])
    of_all, given = _expanded(names(choices.get("snapshot")), groups["snapshot"])
    has_default = "snapshot" not in choices and not of_sets
    asked = [name for name in (*of_sets, *named) if _is_snapshot(name, groups)]
    snapshots = [*(DEFAULT_SNAPSHOTS if has_default else ()), *of_all, *given, *asked]
    optional = {*of_all, *of_sets} - {*given, *named}
    by_group = {"snapshot": list(dict.fromkeys(snapshots))}
    if "probe" in choices:
        probes = [name for name in (*of_sets, *named) if not _is_snapshot(name, groups)]
        by_group["probe"] = list(dict.fromkeys(probes))
    named_by_sets = [name for names in by_group.values() for name in names if name in optional]
    return Sorted({**choices, **by_group}, tuple(named_by_sets))


def marked(parts: dict[str, Any], optional: tuple[str, ...]) -> dict[str, Any]:
    """The parts of probes or snapshots; those that a set named, and that some networks cannot have, are optional."""
    return {
        key: {**part, "optional": True} if key in optional and "optional" in part else part
        for key, part in parts.items()
    }


def _expanded(asked: list[str], every: list[str]) -> tuple[list[str], list[str]]:
    """The members of the sets among the names, and the other names; `every` are the members of `all`."""
    sets = {**presets(), ALL: every}
    members = [member for name in asked for member in sets.get(name, [])]
    flat = [inner for member in members for inner in (every if member == ALL else [member])]
    return flat, [name for name in asked if name not in sets]


def _is_snapshot(name: str, groups: Groups) -> bool:
    return name in groups["snapshot"] and name not in groups["probe"]
