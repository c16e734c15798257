"""The findings of a diagnosis as cells."""

import pytest

from gradlab.analysis.verdicts import diagnose
from gradlab.report.html.evidence import evidence, ranges, rules
from gradlab.store.read import open_run
from tests import runs


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([1, 2, 3], "1–3"),
        ([7, 1, 2, 4, 2], "1–2, 4, 7"),
        (range(0, 20, 2), "0, 2, 4, 6, 8, 10 and 4 more"),
    ],
)
def test_ranges(numbers, text):
    assert ranges(list(numbers)) == text


def test_each_finding_is_a_row_with_its_numbers(tmp_path):
    diagnosis = diagnose(open_run(runs.simple(tmp_path / "run", gain=0.5)))
    rows = evidence(diagnosis)
    assert [row.word for row in rows] == [finding.word for finding in diagnosis.findings]
    first = rows[0]
    assert (first.word, first.at, first.layers, first.steps, first.seeds) == (
        "vanishing",
        "start",
        "1–20",
        "0",
        1,
    )
    assert first.numbers.startswith(
        f"decades −{-diagnosis.signal_start.decades:.1f} (95 %: −".replace("-", "−")
    )
    assert f"gain {diagnosis.signal_start.gain:.3g}" in first.numbers


def test_rules_are_in_the_order_of_the_words():
    assert list(rules(["learned", "vanishing", "learned"])) == ["vanishing", "learned"]
