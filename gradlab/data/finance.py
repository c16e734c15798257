"""Risk in markets and in lending, from the models that econometrics has for them."""

import numpy as np

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, Length, check_size
from gradlab.data.standardization import standardize_features
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Fraction, Share
from gradlab.recipe.errors import RecipeError

_SETTLE = 200  # steps until the start is forgotten: (α + β)^200


@data
def garch(seed: Count, train: Examples, test: Examples, length: Length, alpha: Share, beta: Share) -> Task:
    """After `length` daily returns, how risky is tomorrow: ln σ² of the next day, standardized. R² 0 is no insight.

    GARCH(1,1) (Bollerslev 1986): r = σz, σ² ← ω + α r² + β σ², ω = 1 − α − β, so that Var r = 1. Returns themselves
    cannot be foreseen; their squares have autocorrelation ρ₁(α + β)^(k−1), ρ₁ = α(1 − αβ − β²)/(1 − 2αβ − β²).
    """
    if alpha + beta >= 1:
        raise RecipeError(
            f"data.alpha={alpha:g} and data.beta={beta:g} have no lasting variance; their sum must be below 1"
        )
    count = train + test
    check_size(count, length + _SETTLE)
    normal = np.random.default_rng(seed).standard_normal((length + _SETTLE, count), np.float32)
    variance, returns = np.ones(count), np.empty_like(normal)
    for day, z in enumerate(normal):
        returns[day] = np.sqrt(variance) * z
        variance = 1 - alpha - beta + alpha * returns[day] ** 2 + beta * variance
    x = np.ascontiguousarray(returns[_SETTLE:].T)[:, :, None]
    train_x, train_y, test_x, test_y = split_generated(x, np.log(variance)[:, None], train)
    train_y, test_y = standardize_features(train_y, test_y)
    source = f"synthetic: GARCH(1,1) returns, alpha {alpha:g}, beta {beta:g}, {length} days"
    return Task(source, train_x, train_y, test_x, test_y, outputs=1, metric="r2")


@data
def credit(seed: Count, train: Examples, test: Examples, share: Fraction) -> Task:
    """Who of the borrowers will not pay? About `share` of them; who answers "none" has balanced accuracy 1/2.

    Ten standard normal measures, some of them correlated; the log-odds of a default rise with the debt, with late
    payments, with both together, and away from the middle age; a constant sets the share.
    """
    from scipy.optimize import brentq  # slow to import: only when asked for

    check_size(train + test, 10)
    rng, count = np.random.default_rng(seed), train + test
    x = rng.standard_normal((count, 10))
    x[:, 1] = 0.6 * x[:, 0] + 0.8 * x[:, 1]  # debt goes with income
    income, debt, late, age, used = x[:, :5].T
    odds = 4 * (debt - income) + 4 * late + 3 * debt * late + 2 * age**2 + 2 * used

    def probability(constant: float) -> np.ndarray:
        result: np.ndarray = 1 / (1 + np.exp(-np.clip(odds + constant, -500, 500)))
        return result

    constant = brentq(lambda c: probability(c).mean() - share, -1000, 1000)
    y = (rng.random(count) < probability(constant)).astype(np.int32)
    train_x, train_y, test_x, test_y = split_generated(x, y, train)
    train_x, test_x = standardize_features(train_x, test_x)
    source = f"synthetic: credit default, 10 measures, {share:.0%} default"
    return Task(source, train_x, train_y, test_x, test_y, outputs=2, metric="balanced_accuracy")
