"""docs/concepts.md and the glossary are one text, and every verdict has its definition."""

from pathlib import Path

import pytest

from gradlab.analysis.concepts import GLOSSARY, SIGNAL, TRAINING
from gradlab.analysis.verdicts import WORDS

PAGE = (Path(__file__).parent.parent / "docs" / "concepts.md").read_text("utf-8")


@pytest.mark.parametrize("word", GLOSSARY)
def test_the_page_has_the_glossary_s_definition(word):
    assert f"- **{word}**: {GLOSSARY[word]}\n" in PAGE


def test_every_verdict_is_defined():
    assert set(WORDS) <= GLOSSARY.keys()
    assert not SIGNAL.keys() & TRAINING.keys()
