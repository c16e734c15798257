"""The parts of a recipe, made inside the trace, so that their numbers may be traced."""

from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from gradlab.data.task import Form
from gradlab.engine.families import FAMILIES
from gradlab.engine.loss_scale import LossScaling
from gradlab.measurements.probe import Probe, probe
from gradlab.measurements.snapshot import Snapshot, snapshot
from gradlab.nn.chain import Block
from gradlab.nn.plan import Model, Plan, recorded
from gradlab.numerics.tree import RowNames, StackedAxes, Tree, matches
from gradlab.parts.clips.contract import Clip
from gradlab.parts.family import Family
from gradlab.parts.initializers.contract import Adjust
from gradlab.parts.losses.contract import Loss, averaged_over_time
from gradlab.parts.optimizers.contract import Optimizer
from gradlab.parts.penalties import Penalty
from gradlab.parts.schedules import Schedule
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe

T = TypeVar("T")


class Setup(NamedTuple):
    """All that a training step needs; numbers inside may be traced.

    used: the fields of the plan that the network has read so far: while it was built, initialized or traced.
    """

    chain: list[Block]
    adjust: Adjust | None
    loss: Loss
    penalty: Penalty | None
    clip: Clip
    optimizer: Optimizer
    schedule: Schedule
    lr: Array | float
    lr_factors: list[tuple[str, Array | float]]
    freeze: tuple[str, ...]
    loss_scale: LossScaling
    probes: dict[str, Probe]
    snapshots: dict[str, Snapshot]
    used: set[str]

    def factors(self, stacked_axes: StackedAxes, params: Tree) -> Tree:
        """What multiplies the learning rate of each parameter, one entry per layer of a stack.

        Only parameters that a pattern of `lr_factors` matches are in it. A pattern is matched with
        `hidden 3/linear/kernel`; of several that match, the last counts.
        """
        factors: Tree = {}
        rows = row_names(self.chain)
        for pattern, number in self.lr_factors:
            for path, value in params.items():
                matched = matches(pattern, path, value, stacked_axes[path], rows)
                if matched.any():
                    factors[path] = jnp.where(matched, number, factors.get(path, jnp.ones(())))
        return factors

    def frozen(self, stacked_axes: StackedAxes, params: Tree) -> "Frozen":
        """What the patterns of `freeze` keep from being trained."""
        rows = row_names(self.chain)
        flags = {
            path: np.any(
                [matches(pattern, path, value, stacked_axes[path], rows) for pattern in self.freeze], axis=0
            )
            for path, value in params.items()
        }
        return Frozen({path: flag for path, flag in flags.items() if flag.any()})


class Frozen(NamedTuple):
    """The parameters that are not trained: by path, whether each layer of a stack is frozen, or the array as a whole.

    Its methods leave a tree as it is where nothing is frozen.
    """

    flags: dict[str, NDArray[np.bool_]]

    def without(self, tree: dict[str, T]) -> dict[str, T]:
        """The tree without the arrays that are frozen as a whole."""
        return (
            {path: value for path, value in tree.items() if not self._is_whole(path)} if self.flags else tree
        )

    def only_trained(self, params: Tree) -> Tree:
        """The parameters that are trained: stacks without their frozen layers, no frozen arrays."""
        return {
            path: value[np.flatnonzero(~self.flags[path])] if path in self.flags else value
            for path, value in self.without(params).items()
        }

    def trained(self, grads: Tree) -> Tree:
        """The gradient or update of what is trained: zero in the frozen layers of a stack, nothing of frozen arrays."""
        return (
            {
                path: jnp.where(self.flags[path], 0, value) if path in self.flags else value
                for path, value in self.without(grads).items()
            }
            if self.flags
            else grads
        )

    def merged(self, params: Tree, trained: Tree) -> Tree:
        """All parameters: `trained` where they are trained, else those of `params`."""
        return params | {
            path: jnp.where(self.flags[path], params[path], value) if path in self.flags else value
            for path, value in trained.items()
        }

    def filled(self, direction: Tree, params: Tree) -> Tree:
        """The direction of all parameters: zero for those that are frozen."""
        if not self.flags:
            return direction
        moved = self.trained(direction)
        return {
            path: moved[path] if path in moved else jnp.zeros_like(value) for path, value in params.items()
        }

    def _is_whole(self, path: str) -> bool:
        return path in self.flags and bool(self.flags[path].all())


def row_names(blocks: list[Block]) -> RowNames:
    """The names of each block's rows, by the block's name."""
    return {block.name: block.row_names for block in blocks}


def make_setup(recipe: Recipe, numbers: dict[str, Any], form: Form) -> Setup:
    """The parts of `recipe`, with `numbers` (by dotted key) in the place of its floats: called inside the trace.

    Raises:
        RecipeError: where the network refuses the form of the data or another part.
    """
    parts = {
        name: family.make(_filled(getattr(recipe, name), name, numbers))
        for name, family in FAMILIES.items()
        if name != "data"
    }
    plan, used = recorded(
        Plan(
            shape=form.shape,
            vocabulary=form.vocabulary,
            outputs=form.outputs,
            label_per_step=form.label_per_step,
            depth=recipe.depth,
            width=recipe.width if isinstance(recipe.width, int) else recipe.width[0],
            widths=() if isinstance(recipe.width, int) else recipe.width,
            activation=parts["activation"],
            initializer=parts["initializer"],
            normalization=parts["normalization"],
            residual=parts["residual"],
            dropout=numbers["dropout"] if recipe.dropout > 0 else None,
            has_alpha_dropout=recipe.dropout_kind == "alpha",
            dtype=jnp.dtype(recipe.dtype),
        )
    )
    blocks = _chain(recipe, parts["model"], plan)
    clip = parts["clip"]
    return Setup(
        chain=blocks,
        adjust=parts["initializer"].adjust,
        loss=averaged_over_time(parts["loss"]) if form.label_per_step else parts["loss"],
        penalty=parts["penalty"],
        clip=clip.bind(row_names(blocks)) if clip.bind else clip,
        optimizer=parts["optimizer"],
        schedule=parts["schedule"],
        lr=numbers["lr"],
        lr_factors=[(pattern, numbers[f"lr_factors.{pattern}"]) for pattern in recipe.lr_factors],
        freeze=recipe.freeze,
        loss_scale=LossScaling(
            recipe.loss_scale.kind, numbers["loss_scale.value"], recipe.loss_scale.growth_interval
        ),
        probes=_numbered(_made(probe, recipe.probes, "probes", numbers)),
        snapshots=_made(snapshot, recipe.snapshots, "snapshots", numbers),
        used=used,
    )


def _made(
    family: Family, parts: dict[str, dict[str, Any]], field: str, numbers: dict[str, Any]
) -> dict[str, Any]:
    """The probes or snapshots of a recipe by their keys in it."""
    return {key: family.make(_filled(part, f"{field}.{key}", numbers)) for key, part in parts.items()}


def _numbered(made: dict[str, tuple[Probe, ...]]) -> dict[str, Probe]:
    """The probes, of which one name may stand for several, by keys of their own."""
    return {
        key if index == 0 else f"{key} {index}": probe
        for key, probes in made.items()
        for index, probe in enumerate(probes)
    }


def _chain(recipe: Recipe, model: Model, plan: Plan) -> list[Block]:
    """The network's blocks; what it refuses is reported with the names of model and data."""
    try:
        return model(plan)
    except RecipeError as error:
        raise RecipeError(f"model={recipe.model['name']}, data={recipe.data['name']}: {error}") from None


def _filled(value: Any, key: str, numbers: dict[str, Any]) -> Any:
    """A part with `numbers` in the place of its floats, through its lists and mappings."""
    if isinstance(value, dict):
        return {name: _filled(entry, f"{key}.{name}", numbers) for name, entry in value.items()}
    if isinstance(value, list):
        return [_filled(entry, f"{key}.{index}", numbers) for index, entry in enumerate(value)]
    return numbers.get(key, value)
