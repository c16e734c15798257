"""What a data set hands to the trainer, and the family of data sets."""

from typing import Any, NamedTuple

import numpy as np

from gradlab.parts.family import Family
from gradlab.recipe.errors import RecipeError

data = Family("data", "gradlab.data")
METRICS = ("accuracy", "balanced_accuracy", "r2", "bits", "loss")


class Form(NamedTuple):
    """What a network must know of its data: the shape of one input, the tokens there are, and what is asked."""

    shape: tuple[int, ...]
    vocabulary: int
    outputs: int
    each: bool  # whether every time step has a label of its own


class Task(NamedTuple):
    """Inputs and targets, already split and standardized; `source` says where from, and whether real or synthetic.

    Inputs x are numbers, float32: vectors (examples, features), sequences (examples, time, features) or images
    (examples, height, width, channels); or tokens, whole numbers below `vocabulary`: (examples, time).
    Targets y are int32 labels, one an example or one each time step (−1: not counted; all examples count equally
    many); or float32 numbers (examples, outputs).
    """

    source: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    outputs: int  # classes of a label, or numbers of a target
    vocabulary: int = 0  # above 0 where inputs are tokens
    metric: str = "accuracy"  # what verdicts judge by: accuracy, balanced_accuracy, r2, bits or loss

    @property
    def form(self) -> Form:
        """What a network must know of it."""
        each = labelled(self.train_y) and self.train_y.ndim > 1
        return Form(self.train_x.shape[1:], self.vocabulary, self.outputs, each)

    def summary(self) -> dict[str, float | int | str | list[Any] | None]:
        """What verdicts, figures and theory need to know of the data, whatever the loss."""
        shares = _shares(self.test_y, self.outputs)
        return {
            "source": self.source,
            "metric": self.metric,
            "train": len(self.train_y),
            "test": len(self.test_y),
            "judged": counted(self.test_y),  # answers of the test part, and of the training part
            "practised": counted(self.train_y),
            "shape": list(self.train_x.shape[1:]),
            "features": int(np.prod(self.train_x.shape[1:])),
            "vocabulary": self.vocabulary,
            "outputs": self.outputs,
            "balanced_errors": [_balanced_error(y, self.outputs) for y in (self.train_y, self.test_y)],
            "chance_accuracy": None if shares is None else float(shares.max()),
            "second_moment": None if self.vocabulary else _second_moment(self.train_x),
            "cosine": None if self.vocabulary else _cosine(self.train_x),
        }


def checked(task: Task, name: str) -> None:
    """Refuse what no network could be trained on: a task may be anyone's own."""
    wrong = _wrong(task)
    if wrong:
        raise RecipeError(f"data={name}: {wrong}")


def _wrong(task: Task) -> str:
    """What is wrong with a task, "" where nothing is."""
    for part, x, y in (("train", task.train_x, task.train_y), ("test", task.test_x, task.test_y)):
        if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and x.ndim > 1 and y.ndim > 0):
            return f"{part}_x and {part}_y are NumPy arrays, the examples along the first axis"
        if len(x) != len(y) or len(x) < 2 - (part == "test"):
            return f"{part}_x has {len(x)} examples and {part}_y {len(y)}; both need as many, and some"
        if x.dtype != (np.int32 if task.vocabulary else np.float32):
            return f"{part}_x is {x.dtype}; numbers are float32, tokens int32 with a vocabulary"
        if y.dtype not in (np.int32, np.float32):
            return f"{part}_y is {y.dtype}; labels are int32, numbers float32"
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return f"{part}_x or {part}_y holds NaN or infinity"
        if task.vocabulary and not (x.min() >= 0 and x.max() < task.vocabulary):
            return (
                f"{part}_x holds tokens from {x.min()} to {x.max()}, and the vocabulary is {task.vocabulary}"
            )
        if labelled(y) and not (y.min() >= -1 and y.max() < task.outputs):
            return f"{part}_y holds labels from {y.min()} to {y.max()}, and outputs is {task.outputs}"
        if not labelled(y) and y.shape[1:] != (task.outputs,):
            return f"{part}_y has the shape {y.shape}; numbers are (examples, outputs), and outputs is {task.outputs}"
    alike = [
        (x.shape[1:], y.shape[1:], y.dtype)
        for x, y in ((task.train_x, task.train_y), (task.test_x, task.test_y))
    ]
    if alike[0] != alike[1]:
        return (
            "the training and the test part differ in their examples' shapes, or in the kind of their targets"
        )
    if task.form.each:
        counts = np.concatenate([(y >= 0).sum(1) for y in (task.train_y, task.test_y)])
        if counts.min() != counts.max() or not counts.min():
            return f"from {counts.min()} to {counts.max()} time steps of an example are labelled; label as many of each"
    if task.metric not in METRICS:
        return f"metric '{task.metric}' is not one of {', '.join(METRICS)}"
    if task.metric != "loss" and labelled(task.train_y) == (task.metric == "r2"):
        return f"metric {task.metric} does not fit the targets: r2 is of numbers, the others of labels"
    return ""


def labelled(y: np.ndarray) -> bool:
    """Whether targets are labels."""
    return bool(np.issubdtype(y.dtype, np.integer))


def counted(y: np.ndarray) -> int:
    """How many answers are judged: examples, or the time steps that have a label."""
    return int((y >= 0).sum()) if labelled(y) else len(y)


def _shares(y: np.ndarray, classes: int) -> np.ndarray | None:
    """Each class's share of the labels; None of numbers."""
    if not labelled(y):
        return None
    counts = np.bincount(y[y >= 0], minlength=classes)
    result: np.ndarray = counts / counts.sum()
    return result


def _balanced_error(y: np.ndarray, classes: int) -> float | None:
    """Standard deviation of a guesser's balanced accuracy: √(Σ_c p(1 − p)/n_c)/k over the k classes, p = 1/k."""
    if not labelled(y):
        return None
    counts = np.bincount(y[y >= 0], minlength=classes)
    counts = counts[counts > 0]
    share = 1 / len(counts)
    return float(share * np.sqrt((share * (1 - share) / counts).sum()))


def _second_moment(x: np.ndarray) -> float:
    return float(np.square(x, dtype=np.float64).mean())


def _cosine(x: np.ndarray) -> float:
    """Mean cosine between two examples."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)
    count = len(x)
    return float((count**2 * (unit.mean(0) ** 2).sum() - count) / (count * (count - 1)))


def standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both parts less the training part's mean, over its deviation, entry by entry; a constant one stays at 0."""
    mean, deviation = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    first, second = (((part - mean) / deviation).astype(np.float32) for part in (train, test))
    return first, second


def split(x: np.ndarray, y: np.ndarray, seed: int, test_fraction: float) -> tuple[np.ndarray, ...]:
    """train_x, train_y, test_x, test_y: shuffled by a seed of the split's own, so that arms are paired."""
    order = np.random.default_rng(seed).permutation(len(x))
    tests = max(1, round(test_fraction * len(x)))
    test, train = order[:tests], order[tests:]
    if len(train) < 2:
        raise RecipeError(
            f"data.test_fraction={test_fraction} leaves {len(train)} of {len(x)} to train on; give less"
        )
    return x[train], y[train], x[test], y[test]
