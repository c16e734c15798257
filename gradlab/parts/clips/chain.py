"""Several clips one after the other, each on what the one before left."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import jax.numpy as jnp

from gradlab.numerics.tree import RowNames, StackedAxes, Tree
from gradlab.parts.clips.contract import Clip, ClipRecord, clip
from gradlab.recipe.errors import RecipeError

NO_LINK = ("none", "chain", "per_example")  # the last one acts on other arrays, before the mean
_COLUMN = re.compile("[a-z][a-z0-9_]*")  # a name of a clip of a chain ends that of its column

ClipPart = dict[str, Any]  # {name: norm, threshold: 1.0, …}, without `where`, which is the chain's


@dataclass(frozen=True)
class ClipMapping:
    """The bound of the clips of a chain, a mapping in their order: `{value: {name: value, threshold: 1.0}, …}`."""

    def __str__(self) -> str:
        return "two clips or more, as in clip=[tensor_norm,norm] clips.norm.threshold=0.5"

    def check(self, key: str, value: Any) -> dict[str, ClipPart]:
        """The clips, each with its parameters in their bounds.

        Raises:
            RecipeError: fewer than two, one that cannot be in a chain, or a parameter out of its bounds.
        """
        if not isinstance(value, dict) or len(value) < 2:
            raise RecipeError(f"{key}={value} must be {self}")
        return {str(name): self._checked(f"{key}.{name}", str(name), part) for name, part in value.items()}

    def _checked(self, place: str, name: str, part: Any) -> ClipPart:
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise RecipeError(f"{place}={part} must be a clip with its name: {{name: norm, threshold: 1.0}}")
        if not _COLUMN.fullmatch(name):
            raise RecipeError(
                f"{place}: '{name}' cannot be the name of a column; use small letters, digits, _"
            )
        if part["name"] in NO_LINK:
            raise RecipeError(f"{place}: clip={part['name']} cannot be one of several; choose another one")
        if "where" in part:
            raise RecipeError(f"{place}.where: the clips of a chain act at one place; set clip.where")
        checked = clip.check({**part, "where": "gradient"}, place)
        return {parameter: number for parameter, number in checked.items() if parameter != "where"}


@clip
def chain(clips: Annotated[dict[str, ClipPart], ClipMapping()]) -> Clip:
    """g <- c_n(… c_2(c_1(g))): `clip=[value,norm]` limits entries first, then the norm of what is left.

    The fraction `clipped` is the mean of those of the clips, so that it is above 0 where any acted; `clipped_norm` is
    that of the clip named norm. A step that one of them drops counts as dropped, and `clipped` is 1 then.
    """
    return _chained({name: clip.make(part) for name, part in clips.items()})


def _chained(clips: dict[str, Clip]) -> Clip:
    def init(params: Tree) -> tuple[Any, ...]:
        return tuple(rule.init(params) for rule in clips.values())

    def apply(
        grads: Tree, states: tuple[Any, ...], params: Tree, stacked_axes: StackedAxes
    ) -> tuple[Tree, tuple[Any, ...], ClipRecord]:
        after, records = [], {}
        for (name, rule), state in zip(clips.items(), states, strict=True):
            grads, next_state, records[name] = rule.apply(grads, state, params, stacked_axes)
            after.append(next_state)
        return grads, tuple(after), _record(records)

    def bind(rows: RowNames) -> Clip:
        return _chained({name: rule.bind(rows) if rule.bind else rule for name, rule in clips.items()})

    return Clip(init, apply, bind=bind, names=tuple(clips))


def _record(records: dict[str, ClipRecord]) -> ClipRecord:
    """The record of a chain from those of its clips."""
    fractions = {f"clipped_{name}": record["clipped"] for name, record in records.items()}
    mean = jnp.stack(list(fractions.values())).mean()
    skips = [record["skip"] for record in records.values() if "skip" in record]
    if not skips:
        return {"clipped": mean, **fractions}
    dropped = jnp.stack(skips).any()
    return {"clipped": jnp.where(dropped, 1.0, mean), "skip": dropped, **fractions}
