"""σ_w at the edge of chaos for any activation: from its formulas in theory, or from the function itself."""

import json
import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.parts.activations import activation
from gradlab.recipe.errors import RecipeError
from gradlab.theory import activations as known
from gradlab.theory.meanfield import chi, critical_weight, fixed_length, length_slope

_GRID = np.linspace(-32, 32, 4097)  # where kinks are looked for


def critical_sigma(part: dict[str, Any], sigma_b: float) -> float:
    """σ_w with χ₁ = 1 at this σ_b, to ten digits, so that a recipe is the same on every machine."""
    return _sigma(json.dumps(part, sort_keys=True), sigma_b)


@cache
def _sigma(part: str, sigma_b: float) -> float:
    values = json.loads(part)
    act = _function(values)
    refusal = f"initializer=critical: activation={values['name']} has no stable critical point at sigma_b={sigma_b:g}"
    with np.errstate(all="ignore"):
        flat = not chi(act, 1e-12, 1.0) + chi(act, 1.0, 1.0) > 0
        weight = math.inf if flat else critical_weight(act, sigma_b * sigma_b)
        if not 0 < weight < math.inf:
            raise RecipeError(refusal)
        # signals of a usual size must settle at the root, and stay: GELU's do not
        settled = fixed_length(act, weight, sigma_b * sigma_b, start=1.0, steps=200)
        settled = min(max(settled, 1e-12), 1e12)
        stays = length_slope(act, settled, weight) < 1 + 1e-6
        if not stays or abs(chi(act, settled, weight) - 1) > 0.02:
            raise RecipeError(refusal)
    return float(f"{math.sqrt(weight):.10g}")


def _function(part: dict[str, Any]) -> known.Activation:
    """The φ of theory, or that of the run in float64, with the kinks found in its slope."""
    if part["name"] in known.NAMES and activation.make(part).width_factor == 1:
        return known.activation(part)
    run_activation = activation.make(part)

    def evaluated(function: Any) -> known.Function:
        def on_host(x: np.ndarray) -> np.ndarray:
            with jax.enable_x64(True):
                values = np.asarray(function(jnp.asarray(x.ravel(), jnp.float64)), np.float64)
            # theory needs only the mean square of the outputs that an activation with a width_factor gives per input
            parts = values.reshape(run_activation.width_factor, *x.shape)
            single = run_activation.width_factor == 1
            result: np.ndarray = parts[0] if single else np.sqrt((parts**2).mean(0))
            return result

        return on_host

    phi = evaluated(run_activation.phi)
    slope = evaluated(lambda x: jax.jvp(run_activation.phi, (x,), (jnp.ones_like(x),))[1])
    return known.Activation(phi, slope, _kinks(slope))


def _kinks(slope: known.Function) -> tuple[float, ...]:
    """Where the slope jumps, by bisection of every interval of the grid over which it changes much."""
    values = slope(_GRID)
    (steep,) = np.nonzero(np.abs(np.diff(values)) > 1e-3 * np.abs(values).max())
    low, high = _GRID[steep], _GRID[steep + 1]
    at_low, at_high = values[steep], values[steep + 1]
    jump = np.abs(at_high - at_low)
    for _ in range(40):
        middle = (low + high) / 2
        at_middle = slope(middle) if middle.size else middle
        left = np.abs(at_middle - at_low) > np.abs(at_high - at_middle)
        low, at_low = np.where(left, low, middle), np.where(left, at_low, at_middle)
        high, at_high = np.where(left, middle, high), np.where(left, at_middle, at_high)
    kinks = np.round((low + high) / 2, 9)[np.abs(at_high - at_low) > 0.2 * jump]
    return tuple(sorted({float(x) for x in kinks} | {0.0}))
