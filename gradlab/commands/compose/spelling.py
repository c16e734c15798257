"""Error messages for names that do not exist, with the name that was probably meant."""

import difflib
from collections.abc import Iterable
from typing import Any

from gradlab.commands.compose import vetting
from gradlab.recipe import options
from gradlab.recipe.errors import RecipeError

Groups = dict[str, list[str]]  # the names of the options of each group
MOST_LISTED = 20  # names that a message lists
SYNONYMS = {
    "learning_rate": "lr",
    "rate": "lr",
    "layers": "depth",
    "hidden": "width",
    "epochs": "steps",
    "bs": "batch_size",
    "optim": "optimizer",
    "scheduler": "schedule",
    "dataset": "data",
    "probes": "probe",
    "snapshots": "snapshot",
    "regularization": "penalty",
    "weight_decay": "penalty",
    "reg": "penalty",
    "frozen": "freeze",
    "early_stopping": "stop.patience",
    "skip": "residual",
    "nonlinearity": "activation",
}


def closest(word: str, names: Iterable[str]) -> str:
    """The name nearest to `word`, or "": a synonym, a longer or shorter form of it, or its right spelling."""
    names = sorted(names)
    last = word.rpartition(".")[2]
    if SYNONYMS.get(last) in names:
        return SYNONYMS[last]
    if "." in word and last in names:  # optimizer.lr
        return last
    longer = [name for name in names if len(word) > 2 and name.startswith(word)]  # init, norm, act, batch
    similar = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    deeper = [name for name in names if name.endswith("." + last)]  # threshold, norm.threshold
    return next(iter([*longer, *similar, *deeper]), "")


def suggestion(word: str, names: Iterable[str]) -> str:
    """The end of a message: the name that was probably meant, or else the names there are, if they are few."""
    names = sorted(names)
    if name := closest(word, names):
        return f"; did you mean '{name}'?"
    return f"; there are: {', '.join(names)}" if len(names) <= MOST_LISTED else ""


def require_option(group: str, name: Any, groups: Groups) -> None:
    """Check that `name` is an option of `group`.

    Raises:
        RecipeError: with the option that was probably meant, also if it is one of another group.
    """
    if isinstance(name, str) and vetting.PLAIN.fullmatch(name) and name in groups[group]:
        return
    shown = "null" if name is None else name
    meant = next((f"{other}={name}" for other, names in groups.items() if name in names), "")
    if not meant and group == "optimizer" and vetting.in_optax(f"optax:{name}"):
        meant = f"optimizer=optax:{name}"
    hint = f"; did you mean '{meant}'?" if meant else suggestion(str(name), groups[group])
    raise RecipeError(f"there is no {group} '{shown}'{hint}")


def require_key(key: str, values: dict[str, Any], settable: list[str], groups: Groups) -> None:
    """Check that `key` can be set in a recipe with these flat `values`, of whose keys `settable` can be set.

    Raises:
        RecipeError: with the key that was probably meant, or the options that have it.
    """
    if key in settable:
        return
    hint = _hint_within_group(key, str(values.get(f"{key.partition('.')[0]}.name", "")), settable)
    hint = hint or suggestion(key, [*settable, *groups])
    hint = hint or next((f"; did you mean '{other}={key}'?" for other in groups if key in groups[other]), "")
    raise RecipeError(f"there is no option '{key}'{hint}")


def _hint_within_group(key: str, option: str, settable: list[str]) -> str:
    """For `clip.threshold` of an `option` without one: which options have it; for `clip.c`: what this one has."""
    group, _, name = key.partition(".")
    if group not in options.groups() or not name or name in {*settable, *SYNONYMS}:
        return ""
    names = options.groups()[group]
    if name in names:
        return f"; did you mean '{group}={name}'?"
    having = [other for other in names if name in options.parameters(group, other)]
    if having:
        return f" for {group}={option}; it belongs to {', '.join(f'{group}={other}' for other in having)}"
    keys = [other.partition(".")[2] for other in settable if other.startswith(f"{group}.")]
    if not keys:
        return ""
    similar = closest(name, keys)
    return f"; did you mean '{group}.{similar}'?" if similar else f"; {group}={option} has {', '.join(keys)}"
