"""docs/concepts.md and docs/verdicts.md are the definitions of the code, and every word has its rule there."""

from pathlib import Path

import pytest

from gradlab.analysis.concepts import TERMS
from gradlab.analysis.training import RULES
from gradlab.analysis.words import CAUSES, SIGNAL, TABLES, TRAINING, WEIGHTS, WORDS
from tests.verdicts_page import PAGE, page

CONCEPTS = (Path(__file__).parent.parent / "docs" / "concepts.md").read_text("utf-8")


@pytest.mark.parametrize("word", TERMS)
def test_the_page_has_the_term_s_definition(word):
    assert f"- **{word}**: {TERMS[word]}\n" in CONCEPTS


def test_the_page_of_verdicts_is_made_from_the_words():
    assert PAGE.read_text("utf-8") == page(), "write it anew with: python -m tests.verdicts_page"


def test_no_word_stands_twice():
    assert (
        len(WORDS)
        == sum(len(table) for table in TABLES.values())
        == len(SIGNAL | TRAINING | WEIGHTS | CAUSES)
    )


def test_the_rules_are_asked_in_the_order_of_the_words():
    asked = [word for word, _ in RULES]
    assert asked == list(TRAINING)[: len(asked)]
