"""Gains that are known exactly, and networks that are made to break."""

from tests.verdicts.cases import made, orthogonal, other_networks
from tests.verdicts.judge import faults, labelled


@labelled(orthogonal() + other_networks() + made())
def test_the_verdict_is_what_is_true(case, tmp_path):
    assert faults(case, tmp_path) == []
