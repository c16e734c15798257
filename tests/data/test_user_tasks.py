"""A user-defined task that no network can be trained on is reported in one line, before anything is written."""

import numpy as np
import pytest

from gradlab.commands.main import main
from gradlab.data.task import Task

X, Y = np.zeros((40, 5), np.float32), (np.arange(40) % 3).astype(np.int32)
EACH = np.zeros((40, 5), np.int32)
TOKENS = np.zeros((40, 5), np.int32)


def task(x=X, y=Y, test_x=None, test_y=None, outputs=3, **more) -> Task:
    return Task(
        "synthetic: mine",
        x,
        y,
        x if test_x is None else test_x,
        y if test_y is None else test_y,
        outputs,
        **more,
    )


def holes():
    y = EACH.copy()
    y[3, 2] = -1
    return task(TOKENS, y, vocabulary=3)


def silent():
    return task(TOKENS, EACH - 1, vocabulary=3)


WRONG = {
    "lists": (lambda: task(X.tolist(), Y.tolist()), "must be NumPy arrays"),
    "double": (lambda: task(X.astype(float)), "train_x is float64"),
    "few": (lambda: task(X[:1], Y[:1]), "has 1 examples and train_y 1"),
    "nan": (lambda: task(np.full_like(X, np.nan)), "contains NaN or infinity"),
    "classes": (lambda: task(outputs=2), "labels from 0 to 2, and outputs is 2"),
    "tokens": (lambda: task(TOKENS + 3, vocabulary=3), "tokens from 3 to 3, and the vocabulary is 3"),
    "narrow test": (lambda: task(test_x=X[:, :2]), "the training set and the test set differ"),
    "mixed": (lambda: task(test_y=np.zeros((40, 3), np.float32)), "the training set and the test set differ"),
    "holes": (holes, "from 4 to 5 time steps per example have a label"),
    "silent": (silent, "from 0 to 0 time steps per example have a label"),
    "metric": (lambda: task(metric="auc"), "metric 'auc' is not one of"),
    "r2 of labels": (lambda: task(metric="r2"), "metric r2 does not fit the targets"),
    "raises": (lambda: 1 / 0, "raises ZeroDivisionError"),
    "nothing": (lambda: None, "gives a NoneType, not a gradlab.data.task.Task"),
}
MAKERS = {name.replace(" ", "_"): make for name, (make, _) in WRONG.items()}
globals().update(MAKERS)


@pytest.mark.few(5)
@pytest.mark.parametrize("name", WRONG)
def test_a_task_that_does_not_fit_is_reported_in_one_line(name, tmp_path, capsys):
    words = [
        f"data={__name__}:{name.replace(' ', '_')}",
        "model=rnn" if name in ("holes", "silent", "tokens") else "depth=2",
    ]
    assert main(["run", *words, "batch_size=8", "steps=1", f"outputs={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert WRONG[name][1] in error
    assert error.count("\n") == 1
    assert not any(tmp_path.iterdir())
