"""Full-batch gradient descent at the edge of stability: the sharpness rises to 2/η and stays there."""

from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, between

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "Full-batch gradient descent makes the Hessian's largest eigenvalue rise to 2/η, and then keeps it just above: "
    "the loss falls, but not at every step; with a small η it never gets there and the loss falls at every step."
)
SOURCE = "Cohen et al. 2021, ICLR"

RATES = (
    "lr=1.5",
    "lr=2.0",
    "lr=2.5",
)  # of the mean over ten outputs: 0.3, 0.4, 0.5 of half the sum of squares
CONTROL = "lr=0.25"
LOW, HIGH = 0.95, 1.10  # mean sharpness·η/2 over the last quarter
BELOW = 0.5  # of the control
ROUNDING = 1e-6  # relative rise of the loss from step to step that is none
EXPERIMENT = "experiment=edge_of_stability"


def measure(study: Study) -> list[Check]:
    """Sharpness times η/2 over the last quarter of three runs and of a control, and whether the loss rises."""
    checks = []
    for rate in RATES:
        (run,) = study.run(EXPERIMENT, rate)
        name = rate.replace("=", " ")
        checks.append(between(f"{name}: λη/2, last quarter", (LOW, HIGH), edge(run), low=LOW, high=HIGH))
        checks.append(between(f"{name}: steps on which the loss rises", 1, rises(run), low=1))
    (run,) = study.run(EXPERIMENT, CONTROL)
    name = f"control, {CONTROL.replace('=', ' ')}"
    return [
        *checks,
        between(f"{name}: λη/2, last quarter", BELOW, edge(run), high=BELOW),
        between(f"{name}: steps on which the loss rises", 0, rises(run), high=0),
    ]


def edge(run: "RunResult") -> float:
    """The mean of the sharpness over its limit in the last quarter of the steps."""
    rows = run.steps[run.steps.sharpness.notna().to_numpy()]
    late = rows[(rows.step > 0.75 * run.recipe["steps"]).to_numpy()]
    return float(np.mean(late.sharpness.to_numpy(float) / late.stability_limit.to_numpy(float)))


def rises(run: "RunResult") -> float:
    """How many steps end with a larger loss than they began with, by more than rounding."""
    loss = run.steps[(run.steps.source == "batch").to_numpy()].sort_values("step").loss.to_numpy(float)
    return float(np.sum(np.diff(loss) > ROUNDING * loss[:-1]))
