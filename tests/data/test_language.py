"""The prose that comes with Python: no test example is in the training set."""

import numpy as np

from gradlab.data.characters import alphabet, tokens, windows
from gradlab.data.english import chapters
from tests.data.tasks import make_task


def test_a_paragraph_stands_in_one_chapter_only():
    paragraphs = [part for text in chapters().values() for part in text.split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs)) > 1500
    assert sum(map(len, chapters().values())) > 300_000


def test_prose_asks_for_the_next_character_at_every_step():
    task = make_task("prose", length=50)
    np.testing.assert_array_equal(task.train_x[:, 1:], task.train_y[:, :-1])
    assert task.metric == "bits"
    assert task.form.label_per_step


def test_all_windows_of_prose_are_the_text_but_for_what_is_left_over():
    few, every = make_task("prose", train=100), make_task("prose", train=0, test=0)
    total = sum(map(len, chapters().values()))
    assert 0.99 * total < every.train_x.size + every.test_x.size <= total + 2 * len(chapters())
    assert {row.tobytes() for row in few.train_x} < {row.tobytes() for row in every.train_x}


def test_letters_by_their_shares_alone_cost_what_the_docstring_says():
    shares = np.bincount(make_task("prose", test=0).test_y.ravel()) / make_task("prose", test=0).test_y.size
    shares = shares[shares > 0]
    assert abs(-(shares * np.log2(shares)).sum() - 4.7) < 0.2


def test_each_topic_has_passages_in_both_parts():
    task = make_task("topics", classes=5)
    assert set(task.train_y) == set(task.test_y) == set(range(5))
    shares = np.bincount(task.train_y) / len(task.train_y)
    assert shares.max() < 0.5


def test_rare_characters_are_one_token():
    known = alphabet("aaaaabbbbbc")
    assert known == {"a": 1, "b": 2}
    np.testing.assert_array_equal(windows(tokens("abcabzb", known), 3), [[1, 2, 0], [1, 2, 0]])
