"""Training whose path is known."""

from tests.verdicts.cases import descents, steps_of_other_rules, trained
from tests.verdicts.judge import faults, labelled


@labelled(descents() + steps_of_other_rules() + trained())
def test_the_verdict_is_what_is_true(case, tmp_path):
    assert faults(case, tmp_path) == []
