"""The labelled set is as large as it should be, and most of it is in the default tests."""

from tests.verdicts.cases import CASES


def test_the_set_is_large_enough():
    assert len({case.words for case in CASES}) == len(CASES)
    assert sum(not case.slow for case in CASES) >= 120
