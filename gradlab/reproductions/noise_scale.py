"""The gradient noise scale of two networks without hidden layers, beside that of explicit gradients of single examples.

Both start from weights of zero and are trained by a few steps of gradient descent on the whole training set. So their
weights are known without gradlab, and all of it is computed here by NumPy in float64 from the examples: the accepted
intervals leave room for float32 only.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradlab.data.digits import digits
from gradlab.data.tables import diabetes
from gradlab.data.task import Task
from gradlab.reproductions.check import Check, Study, near

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "The noise scale of a gradient, tr Σ/|G|², the batch size at which its noise is as large as its signal, follows "
    "without bias from the mean square of the gradients of single examples and the square of their mean."
)
SOURCE = "McCandlish et al. 2018, arXiv:1812.06162 (appendix A)"

EXAMPLES, STEPS, RATE = 64, 3, 0.02
TOLERANCE = 1e-4  # relative
WORDS = (
    "initializer=zeros",
    f"steps={STEPS}",
    "batch_size=0",
    "optimizer=sgd",
    f"lr={RATE}",
    "probe=[forward,noise]",
    "snapshot=[]",
    f"probes.noise.examples={EXAMPLES}",
)
Array = NDArray[np.float64]
Residuals = Callable[
    [Array, Array], Array
]  # (outputs, targets) (examples, outputs) -> ∂loss/∂outputs of each example


def measure(study: Study) -> list[Check]:
    """Noise scale, its jackknife error and the largest gradient norm, of linear and of softmax regression."""
    (linear,) = study.run("model=linear", "depth=1", "loss=mse", "data=diabetes", *WORDS)
    (softmax,) = study.run("model=perceptron", "loss=cross_entropy", "data=digits", *WORDS)
    patients, images = diabetes(seed=0, test_fraction=0.2), digits(seed=0, test_fraction=0.2)
    return [
        *_checks("linear regression", linear, _gradients(patients, patients.train_y, _squared)),
        *_checks(
            "softmax regression",
            softmax,
            _gradients(images, np.eye(images.outputs)[images.train_y], _cross_entropy),
        ),
    ]


def _checks(network: str, run: "RunResult", gradients: Array) -> list[Check]:
    rows = run.steps
    row = rows[(rows["step"] == STEPS) & (rows["source"] == "probe")].iloc[0]
    exact = {
        "noise_scale": noise_scale(gradients),
        "noise_scale_error": _jackknife_error(gradients),
        "log10_example_gradient_max": float(np.log10(np.linalg.norm(gradients, axis=1).max())),
    }
    return [
        near(f"{network}: {column}", value, _number(row[column]), relative=TOLERANCE)
        for column, value in exact.items()
    ]


def _number(value: object) -> float:
    return float(value) if isinstance(value, float) else math.nan  # null, where there is no noise scale


def noise_scale(gradients: Array) -> float:
    """tr Σ/|G|² of gradients (examples, parameters), both estimated without bias."""
    noise = gradients.var(0, ddof=1).sum()
    return float(noise / (np.sum(gradients.mean(0) ** 2) - noise / len(gradients)))


def _jackknife_error(gradients: Array) -> float:
    count = len(gradients)
    without = [noise_scale(np.delete(gradients, left_out, axis=0)) for left_out in range(count)]
    return float(np.sqrt((count - 1) * np.var(without)))


def _gradients(task: Task, targets: NDArray[np.floating], residuals: Residuals) -> Array:
    """Those of the first examples after the steps, (EXAMPLES, parameters): each is an outer product."""
    x = np.c_[task.train_x.reshape(len(targets), -1), np.ones(len(targets))].astype(np.float64)
    y = targets.astype(np.float64)
    weights = np.zeros((x.shape[1], y.shape[1]))  # the last row is the bias
    for _ in range(STEPS):
        weights -= RATE * x.T @ residuals(x @ weights, y) / len(x)
    x, y = x[:EXAMPLES], y[:EXAMPLES]
    gradients: Array = np.einsum("ni,nj->nij", x, residuals(x @ weights, y)).reshape(EXAMPLES, -1)
    return gradients


def _squared(outputs: Array, targets: Array) -> Array:
    slopes: Array = 2 * (outputs - targets) / targets.shape[1]
    return slopes


def _cross_entropy(outputs: Array, targets: Array) -> Array:
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    probabilities: Array = powers / powers.sum(1, keepdims=True)
    return probabilities - targets
