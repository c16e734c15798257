"""Conditions on rows: what they select, what they say of a mistake, and that nothing in them is run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab.analysis.where import select
from gradlab.recipe.errors import RecipeError

ROWS = [
    {"run": "a", "depth": 10, "signal_start": "flowing", "gain_start": 1.0, "train_loss": 0.1, "clip": "none"},
    {"run": "b", "depth": 30, "signal_start": "vanishing", "gain_start": 0.5, "train_loss": math.nan, "clip": "norm"},
    {"run": "c", "depth": 50, "signal_start": "vanishing", "gain_start": None, "train_loss": 2.3, "clip": "norm"},
    {"run": "d", "depth": 50, "signal_start": None, "gain_start": None, "train_loss": None, "clip": "value",
     "clip.threshold": 0.5, "remat": True, "initializer.sigma_w": "auto", "training": "learned and lost it"},
    {"run": "e", "depth": 5, "signal_start": "exploding", "gain_start": -1.5, "train_loss": 1e30, "clip": "agc",
     "penalty.name": "l2", "remat": False, "initializer.sigma_w": 1.5, "training": "learned"},
]  # fmt: skip
SELECTED = {
    "depth>20": "bcd",
    "depth >= 50": "cd",
    "depth<10": "e",
    "depth<=10": "ae",
    "depth=30": "b",
    "depth==3e1": "b",
    "depth!=50": "abe",
    "gain<-1": "e",
    "loss>1e29": "e",
    "loss<inf": "ace",
    "signal=vanishing": "bc",
    "signal_start != vanishing": "ae",
    "signal~VANISH": "bc",
    "clip=none": "a",
    "clip!=none": "bcde",
    "clip.name=norm": "bc",
    "penalty=l2": "e",
    "penalty.name=l2": "e",
    "clip.threshold=none": "abce",
    "clip.threshold!=none": "d",
    "gain=none": "cd",
    "loss=none": "d",
    "loss!=none": "abce",
    "depth>20 and signal=vanishing": "bc",
    "depth>20 or signal=exploding": "bcde",
    "signal=exploding or depth>20 and clip=value": "de",
    "(signal=exploding or depth>20) and clip=value": "d",
    "not depth>20": "ae",
    "not not depth>20": "bcd",
    "not (signal=vanishing and depth=50)": "abe",
    "not gain>0.7": "be",
    "not loss>1": "a",
    "gain>0.7 or depth=50": "acd",
    "not (gain>0.7 or depth=50)": "be",
    "training='learned and lost it'": "d",
    'training="learned and lost it"': "d",
    "training~learned": "de",
    "remat=true": "d",
    "remat!=true": "e",
    "initializer.sigma_w=auto": "d",
    "initializer.sigma_w=1.5": "e",
    "initializer.sigma_w>1": "e",
}


@pytest.mark.parametrize("expression", SELECTED)
def test_it_selects(expression):
    assert "".join(row["run"] for row in select(ROWS, expression)) == SELECTED[expression]


MISTAKES = {
    "dpth>20": "no run has a column 'dpth'; did you mean 'depth'?",
    "signl=vanishing": "did you mean 'signal'?",
    "depth": "one of = == != ~ > >= < <= after 'depth' is missing",
    "depth>": "a number or a word after 'depth>' is missing",
    "depth 20": "'20' follows 'depth'",
    "depth>20 signal=vanishing": "'signal' is not expected; join comparisons by 'and' or 'or'",
    "depth>20 and": "a column is missing",
    "(depth>20": r"a '\)' is missing",
    "depth>20)": r"'\)' is not expected",
    "": "a column is missing",
    "depth>deep": "'depth>deep' orders words",
    "depth=deep": "'depth' holds numbers, and 'deep' is none",
    "depth>nan": "'depth>nan' orders words",
    "signal>vanishing": "orders words",
    "signal>3": "orders words",
    "training='learned": "is a quote left open",
    "(" * 60 + "depth>1" + ")" * 60: "more than 50 levels",
    "not " * 100_000 + "depth>1": "at most 10,000",
    "not " * 2_000 + "depth>1": "more than 50 levels",
}


@pytest.mark.parametrize("expression", MISTAKES)
def test_a_mistake_is_named(expression):
    with pytest.raises(RecipeError, match=MISTAKES[expression]):
        select(ROWS, expression)


HOSTILE = [
    "@pd.io.common.os.system('touch owned')",
    "__import__('os').system('touch owned')",
    "depth.__class__",
    "depth>__import__('os').system('touch owned')",
    "depth.real>20",
    "(lambda: 1)()",
    "depth>20; import os",
    "run.str.contains('a')",
    "depth>20 and `rm -rf /`",
    "depth>$(touch owned)",
    "f'{depth}'=1",
    "[x for x in depth]",
]


@pytest.mark.parametrize("expression", HOSTILE)
def test_nothing_in_it_is_run(expression, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError):
        select(ROWS, expression)
    assert list(tmp_path.iterdir()) == []


@given(
    st.lists(st.sampled_from("depth signal = != > ~ and or not ( ) 'a 20 none \" x".split())).map(" ".join)
)
def test_any_text_is_a_condition_or_refused(expression):
    try:
        chosen = select(ROWS, expression)
    except RecipeError:
        return
    assert all(row in ROWS for row in chosen)


def depths(draw_depth=3):
    """Expressions with their meaning in Python, where nothing is missing."""
    sign = {"=": "==", "!=": "!=", ">": ">", "<=": "<="}
    leaf = st.tuples(st.sampled_from(sorted(sign)), st.integers(0, 9)).map(
        lambda pair: (f"depth{pair[0]}{pair[1]}", f"x {sign[pair[0]]} {pair[1]}")
    )
    join = lambda inner: st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
        lambda three: tuple(f"{a} {three[1]} {b}" for a, b in zip(three[0], three[2], strict=True))
    )
    group = lambda inner: inner.map(lambda pair: tuple(f"not ({text})" for text in pair))
    return st.recursive(leaf, lambda inner: join(inner) | group(inner), max_leaves=8)


@given(depths())
def test_it_means_what_python_means_where_nothing_is_missing(pair):
    rows = [{"depth": x} for x in range(10)]
    expected = [x for x in range(10) if eval(pair[1], {"x": x})]
    assert [row["depth"] for row in select(rows, pair[0])] == expected
