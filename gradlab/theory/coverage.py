"""Where measured networks confirm the prediction of `mlp`: the line, and the band of 95 % of the networks.

Measured on the digits at initialization, 60 networks of width 64 for each activation, normalization and residual
connection, at depths 20 and 60; `python -m tests.theory.test_coverage` measures it again, docs/theory.md has the table.

The layers of one network depend on each other. In the extreme all of them are in the band or none: then the share of
60 networks, averaged over layers, is binomial, with a standard deviation of √(0.95·0.05/60) = 0.028. A band is drawn
where the share is 0.90 or more at both depths, which a band of 95 % misses in 3 of 100 cases.
"""

from typing import Any

DEVIATIONS = 1.959964  # of a normal distribution, that hold 95 %

# batch normalization couples the examples, which the theory takes for equally different: it holds for these only
BATCH = frozenset({("relu", "none"), ("leaky_relu", "none")})  # activation, residual

# (weights, normalization, residual) -> activations whose band holds 90 % of the networks or more
BANDS: dict[tuple[str, str, str], frozenset[str]] = {
    ("independent", "none", "none"): frozenset("elu erf selu sigmoid softsign tanh".split()),
    ("independent", "none", "plain"): frozenset(
        "elu gelu leaky_relu mish relu selu sigmoid silu softplus".split()
    ),
    ("independent", "none", "scaled"): frozenset(
        "elu gelu leaky_relu mish relu selu sigmoid silu softplus".split()
    ),
    ("independent", "layer", "none"): frozenset("leaky_relu mish relu sigmoid silu softplus".split()),
    ("independent", "layer", "plain"): frozenset(
        "elu gelu leaky_relu mish relu sigmoid silu softplus".split()
    ),
    ("independent", "layer", "scaled"): frozenset("gelu leaky_relu mish relu sigmoid silu softplus".split()),
    ("independent", "rms", "none"): frozenset("elu leaky_relu mish relu sigmoid silu softplus".split()),
    ("independent", "rms", "plain"): frozenset("gelu leaky_relu relu sigmoid silu softplus".split()),
    ("independent", "rms", "scaled"): frozenset("gelu leaky_relu relu sigmoid softplus".split()),
    ("orthogonal", "none", "none"): frozenset("leaky_relu relu sigmoid softplus".split()),
}


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
    """Whether about 95 % of random networks were found in the band, at each layer by itself.

    Not measured were networks deeper than wide (the theory is of first order in depth/width), a normalization after
    the activation, and dropout.
    """
    like_measured = (
        recipe["depth"] <= recipe["width"]
        and recipe["normalization"].get("place", "before") == "before"
        and not recipe["dropout"]
    )
    return like_measured and recipe["activation"]["name"] in BANDS.get(kind(recipe), ())


def kind(recipe: dict[str, Any]) -> tuple[str, str, str]:
    """Weights (orthogonal or independent), normalization and residual of a recipe, as in `BANDS`."""
    normalization = recipe["normalization"]["name"]
    return (
        "orthogonal" if recipe["initializer"]["name"] == "orthogonal" else "independent",
        "none" if normalization == "weight_norm" else normalization,  # it begins as the kernel itself
        recipe["residual"]["name"],
    )
