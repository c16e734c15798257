"""The learning rate at which gradient descent becomes unstable on the quadratic model of the loss at the start."""

import pandas as pd

from gradlab.analysis.results import Stability
from gradlab.analysis.selection import rows_with, to_float64


def stability_at_start(steps: pd.DataFrame) -> Stability:
    """λ_max of the Hessian at step 0, the largest over seeds, and 2/λ_max; None where λ_max is not positive and finite.

    A seed without such a λ_max says nothing, and then neither do the others.
    """
    seeds = steps.seed.nunique()
    rows = rows_with(steps, "sharpness") if "sharpness" in steps else steps[:0]
    start = rows[((rows.step == 0) & (rows.source == "probe")).to_numpy()]
    values = to_float64(start.sharpness) if len(start) == seeds else to_float64(pd.Series([float("nan")]))
    largest = float(values.max())
    if not (values > 0).all() or largest == float("inf"):
        sentence = "λ_max of the Hessian at the start is not a positive finite number: no threshold"
        return Stability(sharpness=None, rate=None, sentence=sentence)
    rate = 2 / largest
    sentence = (
        f"2/λ_max = {rate:.3g} at the start, λ_max = {largest:.3g} of the Hessian: above it plain gradient descent "
        "is unstable on a quadratic model of the loss; a local threshold, not a bound on the rate"
    )
    return Stability(sharpness=largest, rate=rate, sentence=sentence)
