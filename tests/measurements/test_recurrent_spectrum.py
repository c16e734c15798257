"""What the host takes of recurrent kernels when evaluating is NumPy's of the kernels that were trained."""

import numpy as np
import pytest

import gradlab

DATA = ("data=adding", "data.length=12", "data.train=64", "data.test=16", "batch_size=16")


@pytest.mark.slow
@pytest.mark.parametrize(("model", "gates"), [("rnn", 1), ("lstm", 4), ("gru", 3)])
def test_an_orthogonal_start_has_its_radius_in_every_gate(tmp_path, model, gates):
    words = (f"model={model}", "model.radius=0.7", "depth=2", "width=8", "steps=0", "seeds=2")
    run = gradlab.run(*DATA, *words, f"outputs={tmp_path}")
    found = run.notes[run.notes.measure.astype(str).str.contains("spectral|singular")]
    assert len(found) == 2 * 2 * gates * 2  # seeds, layers, gates, measures
    np.testing.assert_allclose(found.value.astype(float), 0.7, rtol=1e-5)


@pytest.mark.slow
def test_they_follow_the_training(tmp_path):
    run = gradlab.run(*DATA, "model=rnn", "width=8", "steps=4", "eval.every=2", f"outputs={tmp_path}")
    checkpoint = next((run.folder / "checkpoint").glob("*.npz"))
    with np.load(checkpoint) as leaves:
        (name,) = [key for key in leaves if key.endswith("recurrent/kernel']") and "params" in key]
        kernel = leaves[name][0].astype(float)
    last = run.notes[(run.notes.step == 4).to_numpy()].set_index("measure").value.astype(float)
    assert last["spectral_radius"] == pytest.approx(np.abs(np.linalg.eigvals(kernel)).max(), rel=1e-6)
    assert last["largest_singular_value"] == pytest.approx(np.linalg.svd(kernel)[1][0], rel=1e-6)
    assert run.notes.step.unique().tolist() == [0, 2, 4]


@pytest.mark.slow
def test_a_kernel_that_is_not_finite_has_no_spectrum(tmp_path):
    words = (
        "model=rnn",
        "width=8",
        "steps=4",
        "eval.every=1",
        "lr=1e38",
        "optimizer=sgd",
        "on_nonfinite=continue",
    )
    run = gradlab.run(*DATA, *words, f"outputs={tmp_path}")
    last = run.notes[(run.notes.step == 4).to_numpy()].value.astype(float)
    assert last.isna().all()
