"""Random networks, judged as their decades in float64 say."""

from tests.verdicts.cases import random_networks
from tests.verdicts.judge import faults, labelled


@labelled(random_networks())
def test_the_verdict_is_what_is_true(case, tmp_path):
    assert faults(case, tmp_path) == []
