"""Risk in markets and in lending, from models of econometrics."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, Length, check_size
from gradlab.data.standardization import standardize_features
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Fraction, Share
from gradlab.recipe.errors import RecipeError

_BURN_IN = 200  # steps until the initial variance is forgotten: (α + β)^200


@data
def garch(seed: Count, train: Examples, test: Examples, length: Length, alpha: Share, beta: Share) -> Task:
    """Predict the risk of the next day, ln σ², from `length` daily returns; without information R² is 0.

    Inputs are (examples, length, 1), targets (examples, 1), standardized. GARCH(1,1) (Bollerslev 1986): r = σz,
    σ² ← ω + α r² + β σ², ω = 1 − α − β, so that Var r = 1. The returns themselves cannot be predicted; their squares
    have the autocorrelation ρ₁(α + β)^(k−1), ρ₁ = α(1 − αβ − β²)/(1 − 2αβ − β²).

    Raises:
        RecipeError: α + β ≥ 1, where the returns have no stationary variance.
    """
    if alpha + beta >= 1:
        raise RecipeError(
            f"data.alpha={alpha:g} and data.beta={beta:g} give no stationary variance; their sum must be below 1"
        )
    count = train + test
    check_size(count, length + _BURN_IN)
    normal = np.random.default_rng(seed).standard_normal((length + _BURN_IN, count), np.float32)
    variance, returns = np.ones(count), np.empty_like(normal)
    for day, z in enumerate(normal):
        returns[day] = np.sqrt(variance) * z
        variance = 1 - alpha - beta + alpha * returns[day] ** 2 + beta * variance
    x = np.ascontiguousarray(returns[_BURN_IN:].T)[:, :, None]
    train_x, train_y, test_x, test_y = split_generated(x, np.log(variance)[:, None], train)
    train_y, test_y = standardize_features(train_y, test_y)
    source = f"synthetic: GARCH(1,1) returns, alpha {alpha:g}, beta {beta:g}, {length} days"
    return Task(source, train_x, train_y, test_x, test_y, outputs=1, metric="r2")


@data
def credit(seed: Count, train: Examples, test: Examples, share: Fraction) -> Task:
    """Which borrowers will default (label 1), about the fraction `share`; a constant prediction scores 1/2.

    Inputs are (examples, 10): standard normal measurements, two of them correlated. The log-odds of a default increase
    with debt over income, with late payments, with both together, and with the distance from the middle age; a constant
    sets the fraction. The score is the balanced accuracy.
    """
    from scipy.optimize import brentq  # slow to import: only when needed

    check_size(train + test, 10)
    rng, count = np.random.default_rng(seed), train + test
    x = rng.standard_normal((count, 10))
    x[:, 1] = 0.6 * x[:, 0] + 0.8 * x[:, 1]  # debt is correlated with income
    income, debt, late, age, used = x[:, :5].T
    odds = 4 * (debt - income) + 4 * late + 3 * debt * late + 2 * age**2 + 2 * used
    constant = brentq(lambda shift: _probability(odds + shift).mean() - share, -1000, 1000)
    y = (rng.random(count) < _probability(odds + constant)).astype(np.int32)
    train_x, train_y, test_x, test_y = split_generated(x, y, train)
    train_x, test_x = standardize_features(train_x, test_x)
    source = f"synthetic: credit default, 10 measures, {share:.0%} default"
    return Task(source, train_x, train_y, test_x, test_y, outputs=2, metric="balanced_accuracy")


def _probability(log_odds: NDArray[Any]) -> NDArray[Any]:
    probability: NDArray[Any] = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
    return probability
