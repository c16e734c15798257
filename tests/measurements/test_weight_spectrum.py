"""σ_max, ρ and ranks of kernels, updates and signals against dense NumPy in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab.measurements.probes.update_rank import ranks
from gradlab.measurements.snapshots.weight_spectrum import MEASURES, _gram, _stable_rank, spectrum
from tests.recipes import TINY

ROWS = ("seed", "step", "source", "layer")


def low_rank(rank, rows, columns, seed=0, smallest=0.01):
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.normal(size=(n, rank)))[0] for n in (rows, columns))
    return u * np.geomspace(1, smallest, rank) @ v.T


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
@pytest.mark.parametrize("size", [1e-25, 1.0, 1e25])
def test_the_ranks_of_an_update_are_those_of_its_singular_values(shape, size):
    w = np.stack([low_rank(3, *shape, seed) for seed in (1, 2)])
    squares = np.linalg.svd(w, compute_uv=False) ** 2
    effective, stable = ranks(jnp.asarray(size * w, jnp.float32))
    np.testing.assert_allclose(effective, squares.sum(1) ** 2 / (squares**2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(stable, squares.sum(1) / squares.max(1), rtol=1e-5)


def test_a_dense_spectrum_s_stable_rank_is_at_most_a_little_too_large():
    w = np.random.default_rng(0).normal(size=(20, 64, 64))
    squares = np.linalg.svd(w, compute_uv=False) ** 2
    ratio = np.asarray(ranks(jnp.asarray(w))[1]) / (squares.sum(1) / squares.max(1))
    assert (ratio > 1 - 1e-5).all()
    assert ratio.max() < 1.03


def test_zeros_and_nan_have_no_rank():
    values = np.stack([np.zeros((3, 3)), np.full((3, 3), np.nan), np.eye(3)]).astype(np.float32)
    effective, stable = ranks(jnp.asarray(values))
    assert np.isnan(effective).tolist() == np.isnan(stable).tolist() == [True, True, False]
    assert np.isnan(spectrum(values[1])).all()
    assert spectrum(values[0])[:2] == (0, 0)
    assert np.isnan(spectrum(values[0])[2:]).all()
    assert spectrum(values[2]) == pytest.approx((1, 1, 3, 3))
    np.testing.assert_allclose(spectrum(np.array([[0, 4.0], [1, 0]])), (4, 2, 17**2 / 257, 17 / 16))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    words = ("probe=[standard,weight_spectrum,update_rank]", "probes.weight_spectrum.every=4", "seeds=2")
    return gradlab.run(*TINY, *words, "probes.update_rank.every=4", f"outputs={tmp_path_factory.mktemp('o')}")


def test_the_spectrum_of_every_kernel_is_stored_and_follows_the_training(run):
    rows = run.parameters[
        (run.parameters.source == "probe").to_numpy() & (run.parameters.seed == 0).to_numpy()
    ]
    assert sorted(set(rows.step[rows.kernel_sigma_max.notna().to_numpy()])) == [0, 4, 8]
    kernels = rows[rows.kernel_sigma_max.notna().to_numpy()]
    assert set(kernels.parameter) == {"linear/kernel"}
    square = kernels.layer.isin([1, 2]).to_numpy()
    assert (kernels.kernel_radius.notna().to_numpy() == square).all()
    start = kernels[(kernels.step == 0).to_numpy() & square]
    for name, expected in zip(MEASURES, (1, 1, 8, 8), strict=True):  # orthogonal
        np.testing.assert_allclose(start[name].astype(float), expected, rtol=1e-5)
    norms = 10 ** kernels.log10_weight.to_numpy(float)
    product = kernels.kernel_sigma_max.to_numpy(float) * np.sqrt(kernels.kernel_stable_rank.to_numpy(float))
    np.testing.assert_allclose(product, norms, rtol=1e-5)


def test_updates_of_kernels_have_ranks_where_there_is_an_update(run):
    rows = run.parameters
    ranked = rows[rows.update_stable_rank.notna().to_numpy()]
    assert set(ranked.source) == {"batch"}
    assert sorted(set(ranked.step)) == [0, 4]
    assert set(ranked.parameter) == {"linear/kernel"}
    stable, effective = (
        ranked[name].to_numpy(float) for name in ("update_stable_rank", "update_effective_rank")
    )
    assert (stable > 0.999).all()
    assert (effective >= 0.999).all()
    assert (stable < 8.001).all()


def test_the_stable_rank_of_signals_is_that_of_centred_examples(run):
    rows = run.layers[run.layers.stable_rank.notna().to_numpy()]
    assert sorted(set(rows.step)) == [0, 4, 8]
    assert (rows.stable_rank <= rows.effective_rank + 1e-4).all()  # λ₁ Σλ >= Σλ², so stable <= effective
    h = np.random.default_rng(0).normal(size=(12, 3, 2)) + 5
    centred = (h - h.mean(0)).reshape(12, -1)
    squares = np.linalg.svd(centred, compute_uv=False) ** 2
    assert _stable_rank(np.asarray(_gram(jnp.asarray(h)))) == pytest.approx(
        squares.sum() / squares[0], rel=1e-5
    )
    assert np.isnan(_stable_rank(np.asarray(_gram(jnp.ones((4, 3))))))


@pytest.mark.slow
def test_a_kernel_that_is_too_large_is_left_out(tmp_path):
    words = ("probe=[forward,weight_spectrum]", "probes.weight_spectrum.largest=7", "steps=0")
    run = gradlab.run(*TINY, *words, f"outputs={tmp_path}")
    assert (
        run.parameters.kernel_sigma_max.isna().to_numpy()[run.parameters.layer.isin([1, 2]).to_numpy()].all()
    )


@pytest.mark.slow
def test_no_bit_of_training_is_changed(run, tmp_path):
    plain = gradlab.run(*TINY, "seeds=2", f"outputs={tmp_path}")
    for column in plain.layers:
        np.testing.assert_array_equal(
            *(table[column].to_numpy(dtype=object, na_value=None) for table in (run.layers, plain.layers))
        )
