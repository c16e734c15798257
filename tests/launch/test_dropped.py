"""A step that the clip drops is no divergence: whatever its loss, the run goes on from where it was."""

import numpy as np
import pytest

from gradlab.analysis.verdicts import diagnose
from gradlab.data.task import Task
from gradlab.store.read import open_run
from tests.launch import stored
from tests.recipes import launch, recipe

WORDS = (
    "depth=2",
    "width=8",
    "steps=60",
    "eval.every=20",
    "batch_size=8",
    "lr=0.1",
    "activation=relu",
    "clip=skip",
    "clip.threshold=5",
    "probe=[forward,backward]",
    "snapshot=[]",
)


def rare() -> Task:
    """Two separable classes, with one training example that no network can be trained on: its gradient overflows."""
    random = np.random.default_rng(0)
    y = (np.arange(96) % 2).astype(np.int32)
    x = (random.standard_normal((96, 4)) + 3.0 * y[:, None] - 1.5).astype(np.float32)
    x[5] = 3e38
    return Task("synthetic: mine", x[:64], y[:64], x[64:], y[64:], 2)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("optimizer=momentum", "schedule=polyak", "normalization=batch"),
        ("optimizer=adam", "lr=0.02", "schedule=plateau"),
    ],
    ids=["sgd", "polyak and batch norm", "adam and plateau"],
)
def test_a_rare_batch_that_is_not_finite_is_dropped(tmp_path, words):
    outcome = launch(recipe(*WORDS, f"data={__name__}:rare", f"outputs={tmp_path}", *words))
    assert (outcome.state, stored.status(outcome.folder)["nonfinite"]) == ("finished", [])
    assert all(
        np.isfinite(leaf).all() for key, leaf in stored.weights(outcome.folder).items() if "params" in key
    )
    found = diagnose(open_run(outcome.folder)).training
    assert found.verdict == "learned", found.sentence
    assert 0 < found.dropped < found.updates == 60
    assert f"the clip dropped {found.dropped} of 60 updates" in found.sentence
    # the last minibatch holds that example in one of these runs
    assert not {"overflow", "undefined"} & {*diagnose(open_run(outcome.folder)).signal_end.words}


def test_an_update_that_is_used_still_diverges(tmp_path):
    outcome = launch(
        recipe(*WORDS, f"data={__name__}:rare", f"outputs={tmp_path}", "clip=norm", "clip.threshold=5")
    )
    assert outcome.state == "diverged"


def test_a_seed_ends_after_updates_dropped_in_a_row(tmp_path):
    words = ("clip.threshold=1e-9", "clip.patience=7", "seeds=2")
    outcome = launch(recipe(*WORDS, f"outputs={tmp_path}", *words))
    assert outcome.state == "stopped"
    assert "seed 1 stopped at step 6: the clip dropped 7 updates in a row" in outcome.message
    rows = open_run(outcome.folder).steps
    assert rows[rows.source == "batch"].groupby("seed").step.max().tolist() == [6, 6]
    found = diagnose(open_run(outcome.folder)).training
    assert found.sentence.endswith("ended after 6 of 60 steps (the clip dropped 7 updates in a row)")
