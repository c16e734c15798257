import math

import numpy as np
import pytest

from gradlab.analysis.score import score_of
from gradlab.recipe.errors import RecipeError
from tests import runs
from tests.analysis.test_verdicts import told

CASES = {  # metric: (its columns' values at the end, what the verdict is, what the sentence says)
    "balanced_accuracy": ([0.1, 0.8], "learned", "test balanced accuracy 0.80 (chance level 0.10)"),
    "r2": ([0.0, 0.9], "learned", "test R² 0.90 (chance level 0.00)"),
}


@pytest.mark.parametrize("metric", CASES)
def test_a_task_is_judged_by_its_own_score(tmp_path, metric):
    ends, verdict, words = CASES[metric]
    values = np.linspace(*ends, 11).tolist()
    more = {f"{part}_{metric}": values for part in ("train", "test")}
    found = told(tmp_path, status=runs.status(data=runs.DATA | {"metric": metric}), more=more).training
    assert found.verdict == verdict
    assert words in found.sentence


def test_a_language_model_is_judged_by_bits(tmp_path):
    status = runs.status(data=runs.DATA | {"metric": "bits"})
    loss = np.linspace(2.3, 1.9, 11).tolist()
    found = told(tmp_path, status=status, loss=loss, more={"test_loss": loss}).training
    assert found.verdict == "learning"  # 17 % below the bits at chance level, not 20
    assert found.test_score == pytest.approx(1.9 / math.log(2), rel=1e-6)
    assert "test bits per token 2.74 (chance level 3.32)" in found.sentence


def test_r2_below_half_is_not_learned(tmp_path):
    more = {"train_r2": np.linspace(0, 0.4, 11).tolist()}
    status = runs.status(data=runs.DATA | {"metric": "r2"})
    assert told(tmp_path, status=status, more=more).training.verdict == "learning"


def test_an_unknown_metric_is_told():
    with pytest.raises(RecipeError, match="metric 'auc' of the data is not accuracy"):
        score_of(runs.DATA | {"metric": "auc"})
