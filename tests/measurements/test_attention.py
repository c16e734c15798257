"""The attention of each head against one query after the other, and what a network without attention is told."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab.engine.prepare import prepare
from gradlab.measurements.snapshot import LayerAttention
from gradlab.measurements.snapshots.attention import of_layer
from gradlab.recipe.errors import RecipeError
from tests.recipes import TINY, recipe

MEASURES = ("attention_largest_logit", "attention_head_entropy", "attention_first_share")


def slow(q, k, heads, causal):
    """The three measures of each head, one example and one query after the other, in float64."""
    size, found = q.shape[-1] // heads, []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        largest, entropies, shares = 0.0, [], []
        for example in range(len(q)):
            for t in range(q.shape[1]):
                seen = slice(0, t + 1 if causal else None)
                scores = k[example, seen, part] @ q[example, t, part] / np.sqrt(size)
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                largest = max(largest, np.abs(scores).max())
                entropies.append(-np.sum(weights * np.log(weights)))
                shares += [weights[0]] if t else []
        found.append((largest, np.mean(entropies), np.mean(shares)))
    return dict(zip(MEASURES, np.array(found).T, strict=True))


@pytest.mark.parametrize("causal", [True, False])
def test_the_measures_of_a_head_are_those_of_its_queries(causal):
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 3, 5, 8))
    found = of_layer(LayerAttention(1, 2, causal, jnp.asarray(q), jnp.asarray(k)))
    for measure, expected in slow(q, k, 2, causal).items():
        np.testing.assert_allclose(found[measure], expected, rtol=2e-5)


def test_equal_keys_have_equal_weights_and_an_overflow_is_no_small_logit():
    q, k = jnp.ones((2, 4, 2)), jnp.ones((2, 4, 2))
    found = of_layer(LayerAttention(1, 1, True, q, k))
    assert float(found["attention_first_share"][0]) == pytest.approx(np.mean([1 / 2, 1 / 3, 1 / 4]))
    assert float(found["attention_head_entropy"][0]) == pytest.approx(np.mean(np.log([1, 2, 3, 4])))
    beyond = of_layer(LayerAttention(1, 1, True, 1e30 * q, -1e30 * k))
    assert beyond["attention_largest_logit"][0] == np.inf


WORDS = (
    "model=transformer",
    "depth=2",
    "width=4",
    "model.heads=2",
    "model.expansion=1",
    "data=sequential_digits",
)
TRAIN = ("steps=2", "eval.every=1", "batch_size=4", "probes.attention.every=2", "probe=[forward,attention]")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return gradlab.run(*WORDS, *TRAIN, "model.order=post", f"outputs={tmp_path_factory.mktemp('o')}")


@pytest.mark.slow
def test_each_head_of_each_layer_has_its_notes(run):
    rows = run.notes[run.notes.measure.astype(str).str.contains("head").to_numpy()]
    assert set(rows.measure) == {f"{name}_head{head}" for name in MEASURES for head in (1, 2)}
    assert sorted(set(rows.layer)) == [1, 2]
    assert sorted(set(rows.step)) == [0, 2]
    assert set(rows.source) == {"probe"}
    assert (rows.value >= 0).all()


@pytest.mark.slow
def test_the_mean_over_the_heads_is_the_entropy_that_every_run_has(run):
    rows = run.notes[(run.notes.source == "probe").to_numpy() & run.notes.step.isin([0, 2]).to_numpy()]
    rows = rows.assign(measure=rows.measure.astype(str), value=rows.value.astype(float))
    keys = ["seed", "step", "layer"]
    heads = rows[rows.measure.str.startswith("attention_head_entropy")].groupby(keys).value.mean()
    whole = rows[rows.measure == "attention_entropy"].set_index(keys).value
    np.testing.assert_allclose(heads, whole.loc[heads.index], rtol=1e-5)


def test_a_network_without_attention_is_told_so_in_one_line():
    message = "snapshot=attention: this network has no attention; choose model=transformer"
    with pytest.raises(RecipeError, match=message) as refused:
        _ = prepare(recipe(*TINY, "probe=[standard,attention]")).layout
    assert "\n" not in str(refused.value)
