"""What one part of a recipe requires of another: refused in one line, or derived, before anything is built."""

from dataclasses import replace

from gradlab.engine.critical import critical_sigma
from gradlab.parts.activations import activation
from gradlab.parts.optimizers.registry import optimizer
from gradlab.parts.penalties import penalty
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe


def checked_combination(recipe: Recipe) -> Recipe:
    """The checked recipe with the numbers that follow from other parts filled in; idempotent.

    Raises:
        RecipeError: where two parts contradict each other.
    """
    width_factor = activation.make(recipe.activation).width_factor
    act, connection = recipe.activation["name"], recipe.residual["name"]
    if recipe.initializer["name"] == "looks_linear" and act != "crelu":
        raise RecipeError(f"initializer=looks_linear is made for activation=crelu, not {act}")
    if width_factor > 1 and connection in ("pre_activation", "post_activation", "fixup"):
        raise RecipeError(
            f"residual={connection} adds the signals before and after φ, and activation={act} makes "
            "the second wider; choose residual=plain"
        )
    if connection == "fixup" and recipe.normalization["name"] == "weight_norm":
        raise RecipeError(
            "residual=fixup starts with kernels of zeros, which have no direction for normalization=weight_norm"
        )
    if recipe.model["name"] == "linear" and act != "linear":
        raise RecipeError(f"model=linear has no activation, got activation={act}; choose model=mlp")
    _check_widths(recipe)
    _check_groups(recipe, width_factor)
    if recipe.clip["name"] == "per_example":
        _check_per_example(recipe)
    if recipe.initializer["name"] != "critical":
        return recipe
    return replace(recipe, initializer=recipe.initializer | {"sigma_w": _critical_sigma_w(recipe)})


def _check_widths(recipe: Recipe) -> None:
    """Refuse a list of widths that the network cannot have."""
    if isinstance(recipe.width, int):
        return
    widths, model = ",".join(map(str, recipe.width)), recipe.model["name"]
    if model != "mlp":
        raise RecipeError(f"width=[{widths}]: only model=mlp takes a list; give model={model} one number")
    if recipe.depth != len(recipe.width) - 1:
        raise RecipeError(
            f"width=[{widths}] is the input block and {len(recipe.width) - 1} hidden ones, got depth={recipe.depth}; "
            f"leave depth out, or give depth={len(recipe.width) - 1}"
        )
    if recipe.residual["name"] != "none":
        raise RecipeError(
            f"width=[{widths}]: residual={recipe.residual['name']} adds signals of one width; give one number, or "
            "choose residual=none"
        )


def _check_groups(recipe: Recipe, width_factor: int) -> None:
    norm = recipe.normalization
    if norm["name"] != "group" or recipe.model["name"] != "mlp":  # others have their own widths
        return
    factor = width_factor if norm["place"] == "after" else 1
    for units in [recipe.width] if isinstance(recipe.width, int) else recipe.width:
        if units * factor % norm["groups"]:
            raise RecipeError(
                f"normalization.groups={norm['groups']} does not divide the {units * factor} units of a layer; "
                "give a divisor of it"
            )


def _check_per_example(recipe: Recipe) -> None:
    """Refuse what couples the examples of a batch, and a gradient that is not the mean of theirs."""
    penalty_part = penalty.make(recipe.penalty)
    reasons = {
        "normalization=batch normalizes over the examples, so that none has a gradient of its own; choose "
        "normalization=layer": recipe.normalization["name"] == "batch",
        f"dropout={recipe.dropout:g} would draw other masks than in the measured gradient; give dropout=0": (
            recipe.dropout > 0
        ),
        "residual=stochastic_depth would draw other branches than in the measured gradient; choose residual=plain": (
            recipe.residual["name"] == "stochastic_depth"
        ),
        f"penalty={recipe.penalty['name']} adds the gradient of no example; choose penalty=decoupled": (
            penalty_part is not None and penalty_part.smooth
        ),
        f"optimizer={recipe.optimizer['name']} takes its gradient elsewhere than at θ; choose another optimizer": (
            optimizer.make(recipe.optimizer).estimator is not None
        ),
        f"loss_scale.kind={recipe.loss_scale.kind} looks at the gradient of the batch, and that of one example may "
        "overflow; choose loss_scale.kind=none": recipe.loss_scale.kind != "none",
    }
    for reason, applies in reasons.items():
        if applies:
            raise RecipeError(f"clip=per_example: {reason}")


def _critical_sigma_w(recipe: Recipe) -> float:
    """`auto` as a number; a stored recipe has it already."""
    sigma_w: str | float = recipe.initializer["sigma_w"]
    critical = critical_sigma(recipe.activation, recipe.initializer["sigma_b"])
    if isinstance(sigma_w, str):
        return critical
    if abs(sigma_w - critical) > 1e-6 * critical:
        raise RecipeError(
            f"initializer.sigma_w={sigma_w:g} is not the critical {critical:.6g}; "
            "choose initializer=normal to set sigma_w"
        )
    return sigma_w
