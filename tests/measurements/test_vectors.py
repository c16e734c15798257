"""Vectors: measures with several values, of blocks, of kernels and of a snapshot, stored by layer and index."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab import Column, Probe, Snapshot
from gradlab.measurements.columns import schemas
from gradlab.recipe.errors import RecipeError
from tests.recipes import TINY

HERE = __name__


def signs():
    """Of one name two probes: the signs of h_l, and those of the kernels' entries."""
    h = Column("h_signs", "negative, zero and positive values of h_l", "count", "vector", size=3)
    w = h._replace(name="w_signs", definition="the same of the kernels", over_kernels="sum")

    def of_kernels(now):
        kernels = {p: v for p, v in now.params.items() if v.ndim - now.stacked_axes[p] >= 2}
        axes = {p: tuple(range(now.stacked_axes[p], v.ndim)) for p, v in kernels.items()}
        return {"w_signs": {p: _signs(v, axes[p]) for p, v in kernels.items()}}

    signal = lambda block: {"h_signs": _signs(block.h, tuple(range(block.h.ndim)))}
    return Probe((h,), signal=signal), Probe((w,), update=of_kernels)


def _signs(x, axes):
    return jnp.stack([(x < 0).sum(axes), (x == 0).sum(axes), (x > 0).sum(axes)], -1)


def ramp():
    """l + i/10 at index i of layer l; nothing is there to measure at layer 1."""

    def compute(inputs):
        layers = len(inputs.signals(inputs.params, inputs.x))
        values = jnp.arange(layers)[:, None] + jnp.arange(4) / 10
        return {"ramp": jnp.where(jnp.arange(layers)[:, None] == 1, jnp.nan, values)}

    return Snapshot((Column("ramp", "a ramp", kind="vector", size=4, nan_is_null=True),), compute)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    words = (f"probe=[standard,{HERE}:signs]", "probes.signs.every=2", f"snapshot=[{HERE}:ramp]")
    return gradlab.run(*TINY, *words, "seeds=2", f"outputs={tmp_path_factory.mktemp('o')}")


def test_the_values_of_a_vector_are_stored_by_index_and_zero_counts_are_left_out(run):
    rows = run.vectors
    h = rows[(rows.measure == "h_signs").to_numpy()]
    assert sorted(set(h[(h.source == "batch").to_numpy()].step)) == sorted(
        {step for step in run.steps[(run.steps.source == "batch").to_numpy()].step if step % 2 == 0}
        | {run.steps.step.max()}
    )
    assert (h.value > 0).all()
    assert 1 not in set(h["index"])
    at = h[((h.step == 0) & (h.seed == 1) & (h.layer == 1) & (h.source == "probe")).to_numpy()]
    assert at.value.sum() == run.recipe["batch_size"] * run.recipe["width"]


def test_vectors_of_kernels_are_sums_over_a_layer_s_kernels(run):
    rows = run.vectors[(run.vectors.measure == "w_signs").to_numpy()]
    sums = rows.groupby(["seed", "step", "source", "layer"], observed=True).value.sum()
    sizes = run.layers.groupby(["seed", "step", "source", "layer"], observed=True)["size"].first()
    np.testing.assert_array_equal(sums, sizes.loc[sums.index])


def test_a_snapshot_s_vector_has_no_rows_where_there_is_nothing_to_measure(run):
    rows = run.vectors[(run.vectors.measure == "ramp").to_numpy()]
    assert set(rows.source) == {"probe"}
    assert 1 not in set(rows.layer)
    np.testing.assert_allclose(rows.value.astype(float), rows.layer + rows["index"] / 10, rtol=1e-6)


def test_the_meaning_of_a_measure_travels_with_the_table(run):
    meaning = run.meanings("vectors")["w_signs"]
    assert (meaning.unit, meaning.definition) == ("count", "the same of the kernels")


def test_what_snapshots_take_is_noted(run):
    assert set(run.status["probe_seconds"]) == {"ramp"}
    assert run.status["probe_seconds"]["ramp"] > 0


@pytest.mark.parametrize("column", [Column("a", "a", kind="vector"), Column("a", "a", size=2)])
def test_a_vector_has_a_size_and_nothing_else_has(column):
    with pytest.raises(RecipeError, match="a vector has a size"):
        schemas([column])
