"""Where measured networks confirm the prediction of `mlp`: the line, and the band of 95 % of the networks.

Measured on the digits at initialization, 60 networks of width 64 for each activation, normalization and residual
connection, at depths 20 and 60; tests/theory/test_coverage.py measures it again, and docs/theory.md has the table.
"""

from typing import Any

DEVIATIONS = 1.959964  # of a normal distribution, that hold 95 %

# batch normalization couples the examples, which the theory takes for equally different: it holds for these only
BATCH = frozenset({("relu", "none"), ("leaky_relu", "none")})  # activation, residual

# (activation, normalization) without a residual connection whose band holds 90 % of the networks or more
BANDS = frozenset(
    {
        ("elu", "none"),
        ("elu", "rms"),
        ("leaky_relu", "layer"),
        ("leaky_relu", "rms"),
        ("relu", "layer"),
        ("relu", "rms"),
        ("selu", "none"),
        ("sigmoid", "layer"),
        ("sigmoid", "none"),
        ("sigmoid", "rms"),
        ("silu", "layer"),
        ("silu", "rms"),
        ("softplus", "layer"),
        ("softplus", "rms"),
        ("tanh", "none"),
    }
)


def unconfirmed(recipe: dict[str, Any]) -> str | None:
    """Why the prediction for this recipe is not shown, in one line; None where measured networks confirm it."""
    act, residual = recipe["activation"]["name"], recipe["residual"]["name"]
    if recipe["normalization"]["name"] != "batch" or (act, residual) in BATCH:
        return None
    joined = "" if residual == "none" else f" and residual={residual}"
    return (
        f"for normalization=batch with activation={act}{joined} measured networks differ from mean-field theory, which "
        "takes all examples for equally different"
    )


def has_band(recipe: dict[str, Any]) -> bool:
    """Whether about 95 % of random networks were found in the band, at each layer by itself."""
    named = (recipe["activation"]["name"], recipe["normalization"]["name"])
    return recipe["residual"]["name"] == "none" and named in BANDS
