import pytest

from gradlab.analysis import verdicts
from gradlab.analysis.comparison import compare_runs
from gradlab.store.read import collect
from tests import runs


@pytest.fixture(autouse=True)
def _without_theory(monkeypatch):
    monkeypatch.setattr(verdicts, "predicted", lambda run: None)


def test_runs_stand_side_by_side_in_the_order_of_the_choice(tmp_path):
    for name, depth in (("a", 50), ("b", 10), ("c", 20)):
        runs.simple(tmp_path / name, depth=depth, seeds=3)
    found = compare_runs(collect(tmp_path), "depth")
    assert found.columns[0] == "depth"
    assert found.depth.tolist() == [10, 20, 50]
    assert found.run.tolist() == ["b", "c", "a"]
    assert found.seeds.tolist() == [3, 3, 3]
    assert found.training.unique().tolist() == ["learned"]
    assert found.test_score.tolist() == pytest.approx([0.97] * 3)


def test_a_missing_number_sorts_first_and_stays_missing(tmp_path):
    runs.simple(tmp_path / "a", clip={"name": "norm", "threshold": 1.0})
    runs.simple(tmp_path / "b")
    found = compare_runs(collect(tmp_path), "clip.threshold")
    assert found["clip.threshold"].isna().tolist() == [True, False]


def test_one_run_is_a_table_of_one_row(tmp_path):
    assert len(compare_runs(collect(runs.simple(tmp_path / "a")))) == 1


def test_words_keep_the_order_of_the_runs_and_numbers_below_them_rise(tmp_path):
    for name, clip, depth in (("a", "zscore", 9), ("b", "norm", 5), ("c", "zscore", 5)):
        runs.simple(tmp_path / name, clip={"name": clip}, depth=depth)
    assert compare_runs(collect(tmp_path), "clip").run.tolist() == ["c", "a", "b"]
