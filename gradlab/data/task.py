"""What a data set provides to the training loop, and the family of data sets."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.parts.family import Family
from gradlab.recipe.errors import RecipeError

MOST_EXAMPLES = 1000  # of which the effective rank is computed
METRICS = ("accuracy", "balanced_accuracy", "r2", "bits", "loss")


class Form(NamedTuple):
    """What a network needs to know about its data: the shape of one input, the vocabulary, and the outputs."""

    shape: tuple[int, ...]
    vocabulary: int
    outputs: int
    label_per_step: bool  # whether every time step has its own label
    heads: tuple[int, ...] = ()  # of several tasks in one: how many of the outputs belong to each


class Split(NamedTuple):
    """A training and a test set: inputs (examples, …) and targets (examples, …) of each."""

    train_x: NDArray[Any]
    train_y: NDArray[Any]
    test_x: NDArray[Any]
    test_y: NDArray[Any]


class Task(NamedTuple):
    """Inputs and targets of a training and a test set, split and standardized.

    Inputs x are float32 numbers: vectors (examples, features), sequences (examples, time, features) or images
    (examples, height, width, channels); or int32 tokens from 0 to vocabulary − 1: (examples, time).
    Targets y are int32 labels, one per example (examples,) or one per time step (examples, time), where −1 marks a
    step without a label and all examples have equally many labels; or float32 numbers (examples, outputs).
    """

    source: str  # where the data come from; begins with "real: ", "synthetic: " or "file: "
    train_x: NDArray[Any]
    train_y: NDArray[Any]
    test_x: NDArray[Any]
    test_y: NDArray[Any]
    outputs: int  # number of classes, or of numbers per target
    vocabulary: int = 0  # number of tokens; 0 where inputs are numbers
    metric: str = "accuracy"  # the score: accuracy, balanced_accuracy, r2, bits or loss
    heads: tuple[int, ...] = ()  # of several tasks in one: how many of the outputs belong to each

    @property
    def form(self) -> Form:
        """What a network needs to know about the data."""
        label_per_step = has_labels(self.train_y) and self.train_y.ndim > 1
        return Form(
            shape=self.train_x.shape[1:],
            vocabulary=self.vocabulary,
            outputs=self.outputs,
            label_per_step=label_per_step,
            heads=self.heads,
        )

    def summary(self) -> dict[str, float | int | str | list[Any] | None]:
        """What verdicts, figures and theory need to know about the data, independent of the loss."""
        fractions = _class_fractions(self.test_y, self.outputs)
        return {
            "source": self.source,
            "metric": self.metric,
            "train": len(self.train_y),
            "test": len(self.test_y),
            "judged": scored_count(self.test_y),  # targets that a score counts: of the test set
            "practised": scored_count(self.train_y),  # and of the training set
            "shape": list(self.train_x.shape[1:]),
            "features": int(np.prod(self.train_x.shape[1:])),
            "vocabulary": self.vocabulary,
            "outputs": self.outputs,
            "balanced_errors": [_balanced_error(y, self.outputs) for y in (self.train_y, self.test_y)],
            "chance_accuracy": None if fractions is None else float(fractions.max()),
            "second_moment": None if self.vocabulary else _second_moment(self.train_x),
            "cosine": None if self.vocabulary else _mean_cosine(self.train_x),
            "effective_rank": None if self.vocabulary else _effective_rank(self.train_x),
        }


def _with_target(task: Any, target: Literal["task", "input"]) -> Any:
    """The task, or that of an autoencoder: its targets are its inputs as vectors, its score is R².

    Raises:
        RecipeError: inputs are tokens, or every time step has its own label.
    """
    if target == "task" or not isinstance(task, Task):
        return task
    if task.vocabulary or task.form.label_per_step:
        kind = "inputs are tokens" if task.vocabulary else "every time step has its own label"
        raise RecipeError(
            f"data.target=input needs inputs of numbers and one target per example; here {kind}"
        )
    train_y, test_y = (x.reshape(len(x), -1) for x in (task.train_x, task.test_x))
    source = f"{task.source}; the targets are the inputs"
    return task._replace(
        source=source, train_y=train_y, test_y=test_y, outputs=train_y.shape[1], metric="r2", heads=()
    )


data = Family(
    "data",
    "gradlab.data",
    common={"target": Literal["task", "input"]},
    common_defaults={"target": "task"},
    wrap=_with_target,
)


def check_task(task: Task, name: str) -> None:
    """Check that a network can be trained on a task, which may be user-defined.

    Raises:
        RecipeError: arrays, labels or metric contradict the description of `Task`.
    """
    message = _first_error(task)
    if message:
        raise RecipeError(f"data={name}: {message}")


def _first_error(task: Task) -> str:
    """The first contradiction in a task, "" where there is none."""
    for subset, x, y in (("train", task.train_x, task.train_y), ("test", task.test_x, task.test_y)):
        message = _error_of_subset(task, subset, x, y)
        if message:
            return message
    if (task.train_x.shape[1:], task.train_y.shape[1:], task.train_y.dtype) != (
        task.test_x.shape[1:],
        task.test_y.shape[1:],
        task.test_y.dtype,
    ):
        return "the training set and the test set differ in the shape of an example or in the dtype of the targets"
    if task.form.label_per_step:
        counts = np.concatenate([(y >= 0).sum(1) for y in (task.train_y, task.test_y)])
        if counts.min() != counts.max() or not counts.min():
            return (
                f"from {counts.min()} to {counts.max()} time steps per example have a label; "
                "every example needs the same number, at least 1"
            )
    if task.metric not in METRICS:
        return f"metric '{task.metric}' is not one of {', '.join(METRICS)}"
    if task.metric != "loss" and has_labels(task.train_y) == (task.metric == "r2"):
        return f"metric {task.metric} does not fit the targets: r2 is for numbers, the other metrics are for labels"
    return ""


def _error_of_subset(task: Task, subset: str, x: NDArray[Any], y: NDArray[Any]) -> str:
    """The first contradiction in the training or the test set, "" where there is none."""
    if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and x.ndim > 1 and y.ndim > 0):
        return f"{subset}_x and {subset}_y must be NumPy arrays with the examples along the first axis"
    fewest = 1 if subset == "test" else 2
    if len(x) != len(y) or len(x) < fewest:
        return f"{subset}_x has {len(x)} examples and {subset}_y {len(y)}; give both the same number, at least {fewest}"
    if x.dtype != (np.int32 if task.vocabulary else np.float32):
        return f"{subset}_x is {x.dtype}; numbers must be float32, and tokens int32 with a vocabulary"
    if y.dtype not in (np.int32, np.float32):
        return f"{subset}_y is {y.dtype}; labels must be int32, and numbers float32"
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return f"{subset}_x or {subset}_y contains NaN or infinity"
    if task.vocabulary and not (x.min() >= 0 and x.max() < task.vocabulary):
        return (
            f"{subset}_x contains tokens from {x.min()} to {x.max()}, and the vocabulary is {task.vocabulary}"
        )
    if has_labels(y) and not (y.min() >= -1 and y.max() < task.outputs):
        return f"{subset}_y contains labels from {y.min()} to {y.max()}, and outputs is {task.outputs}"
    if not has_labels(y) and y.shape[1:] != (task.outputs,):
        return f"{subset}_y has the shape {y.shape}; numbers must be (examples, outputs), and outputs is {task.outputs}"
    return ""


def has_labels(y: NDArray[Any]) -> bool:
    """Whether targets of any shape are labels, not numbers."""
    return bool(np.issubdtype(y.dtype, np.integer))


def scored_count(y: NDArray[Any]) -> int:
    """How many targets a score counts: examples, or the time steps that have a label; y is (examples, …)."""
    return int((y >= 0).sum()) if has_labels(y) else len(y)


def _class_fractions(y: NDArray[Any], classes: int) -> NDArray[Any] | None:
    """Each class's fraction of the labels, (classes,); None for numbers."""
    if not has_labels(y):
        return None
    counts = np.bincount(y[y >= 0], minlength=classes)
    fractions: NDArray[Any] = counts / counts.sum()
    return fractions


def _balanced_error(y: NDArray[Any], classes: int) -> float | None:
    """Standard deviation of the balanced accuracy of random guesses: √(Σ_c p(1 − p)/n_c)/k over k classes, p = 1/k."""
    if not has_labels(y):
        return None
    counts = np.bincount(y[y >= 0], minlength=classes)
    counts = counts[counts > 0]
    p = 1 / len(counts)
    return float(p * np.sqrt((p * (1 - p) / counts).sum()))


def _second_moment(x: NDArray[Any]) -> float:
    return float(np.square(x, dtype=np.float64).mean())


def _mean_cosine(x: NDArray[Any]) -> float:
    """Mean cosine of the angle between two different examples."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)
    count = len(x)
    return float((count**2 * (unit.mean(0) ** 2).sum() - count) / (count * (count - 1)))


def _effective_rank(x: NDArray[Any]) -> float | None:
    """(Σ λ)²/Σ λ² of the eigenvalues of the inputs' covariance, of at most 1 000 examples; None where all are equal."""
    flat = x[:: -(-len(x) // MOST_EXAMPLES)].reshape(-1, int(np.prod(x.shape[1:]))).astype(np.float64)
    centred = flat - flat.mean(0)
    gram = centred.T @ centred if centred.shape[1] <= centred.shape[0] else centred @ centred.T
    squares = float((gram**2).sum())
    return float(np.trace(gram)) ** 2 / squares if squares > 0 else None


def split(x: NDArray[Any], y: NDArray[Any], seed: int, test_fraction: float) -> Split:
    """Examples (examples, …) shuffled and split; the seed is the data's, so that all compared runs see the same split.

    Raises:
        RecipeError: fewer than two training examples are left.
    """
    order = np.random.default_rng(seed).permutation(len(x))
    test_count = max(1, round(test_fraction * len(x)))
    test, train = order[:test_count], order[test_count:]
    if len(train) < 2:
        raise RecipeError(
            f"data.test_fraction={test_fraction} leaves {len(train)} of {len(x)} examples for training; "
            "use a smaller fraction"
        )
    return Split(train_x=x[train], train_y=y[train], test_x=x[test], test_y=y[test])
