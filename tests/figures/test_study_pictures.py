"""Pictures of a study: the Pareto front against a slow one, points against the frame."""

import numpy as np
import pandas as pd
import pytest

from gradlab.figures.choices import choices
from gradlab.figures.depths import depths
from gradlab.figures.pareto import front, pareto
from gradlab.recipe.errors import RecipeError
from tests.figures.frames import SCORE, legend, render

OUTCOMES = pd.DataFrame(
    {
        "initializer": ["he", "he", "xavier", "xavier"],
        "depth": [5, 50, 5, 50],
        "gain": [0.01, np.nan, -0.05, -0.08],
        "decades": [0.05, np.nan, -0.2, -4.0],
        "score": [0.9, 0.8, 0.7, 0.1],
        "seconds": [1.0, 9.0, 2.0, 8.0],
        "flops": [1e6, 1e7, 1e6, np.nan],
    }
)


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_no_other_run_beats(seed):
    random = np.random.default_rng(seed)
    cost, score = random.integers(0, 6, 30).astype(float), random.integers(0, 6, 30).astype(float)
    beaten = lambda i: any(
        cost[j] <= cost[i] and score[j] >= score[i] and (cost[j] < cost[i] or score[j] > score[i])
        for j in range(30)
    )
    kept = {(cost[i], score[i]) for i in range(30) if not beaten(i)}
    assert {(cost[i], score[i]) for i in front(cost, score)} == kept


def test_a_point_of_the_pareto_picture_is_a_run(tmp_path):
    figure = pareto(OUTCOMES, "initializer", SCORE)
    time, operations = figure.axes
    np.testing.assert_allclose(time.collections[0].get_offsets(), OUTCOMES[["seconds", "score"]])
    assert len(operations.collections[0].get_offsets()) == 3
    assert legend(figure) == ["initializer he", "initializer xavier", "not beaten in both (Pareto front)"]
    render(figure, tmp_path)
    with pytest.raises(RecipeError, match="no run has a finite score"):
        pareto(OUTCOMES.assign(score=np.nan), "initializer", SCORE)


def test_choices_have_a_column_each_and_outcomes_a_row_each(tmp_path):
    figure = choices(OUTCOMES, ["initializer", "depth"], SCORE)
    assert [axes.get_xlabel() for axes in figure.axes] == ["initializer", "depth"] * 3
    score_by_depth = figure.axes[5]
    np.testing.assert_allclose(score_by_depth.collections[0].get_offsets(), OUTCOMES[["depth", "score"]])
    (medians,) = [line for line in score_by_depth.get_lines() if line.get_label() == "_median"]
    np.testing.assert_allclose(medians.get_ydata(), [0.8, 0.45])
    assert len(figure.axes[0].collections[0].get_offsets()) == 3  # a gain that is not finite has no point
    render(figure, tmp_path)


def test_depths_shows_score_gain_and_what_has_none(tmp_path):
    figure = depths(OUTCOMES, SCORE)
    np.testing.assert_allclose(figure.axes[0].collections[0].get_array(), [0.01, -0.05, -0.08])
    assert legend(figure) == ["no finite gain", "chance level"]
    render(figure, tmp_path)
    with pytest.raises(RecipeError, match="at least two depths"):
        depths(OUTCOMES[OUTCOMES.depth == 5], SCORE)
