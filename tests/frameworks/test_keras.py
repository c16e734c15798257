"""docs/hooks/gradlab_keras.py with the real Keras: its rows are gradlab's own numbers, on JAX and on PyTorch."""

import os
import subprocess
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from tests.frameworks.hooks import COLUMNS, hook, table

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("KERAS_HOME", tempfile.gettempdir())  # keras writes its settings there
keras = pytest.importorskip("keras")

# Keras on PyTorch converts tensors in a way that NumPy 2 has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
gradlab_keras = hook("gradlab_keras")
EXAMPLES, WIDTH = 12, 8


def data(seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((EXAMPLES, WIDTH)).astype("float32"), random.integers(0, 3, EXAMPLES)


def network(*between):
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(WIDTH, "tanh", name=f"hidden_{l}") for l in (1, 2, 3)]
    model = keras.Sequential([*hidden, *between, keras.layers.Dense(3, name="head")])
    model.build((None, WIDTH))
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def of_gradlab(model, x, y):
    """`gradlab.profile` of the same weights."""
    arrays = [jnp.asarray(value) for value in model.get_weights()]
    params = list(zip(arrays[::2], arrays[1::2], strict=True))
    block = lambda own, h: jnp.tanh(h @ own[0] + own[1])
    head = lambda own, h: h @ own[0] + own[1]
    loss = lambda output: -jnp.mean(jax.nn.log_softmax(output)[jnp.arange(EXAMPLES), y])
    return gradlab.profile([block] * 3 + [head], jnp.asarray(x), loss, params=params)


def test_the_rows_are_the_profiles_of_gradlab(tmp_path):
    x, y = data()
    model = network()
    norms = gradlab_keras.Norms(x, y, tmp_path / "n.csv")
    norms.set_model(model)
    norms.write()
    rows, expected = table(tmp_path / "n.csv"), of_gradlab(model, x, y)
    assert list(rows["layer"]) == ["hidden_1", "hidden_2", "hidden_3", "head"]
    for column in COLUMNS[2:-1]:
        found = np.array(rows[column], dtype=float)
        np.testing.assert_allclose(found, getattr(expected, column), atol=2e-6)  # float32 against float32
    np.testing.assert_allclose(np.array(rows["loss"], dtype=float), expected.loss, rtol=1e-6)


def test_the_training_is_not_changed_and_rows_are_of_the_weights_before_the_update(tmp_path):
    trained = []
    for callbacks in ([], [gradlab_keras.Norms(*data(1), tmp_path / "n.csv", every=2)]):
        model = network(keras.layers.BatchNormalization(), keras.layers.Dropout(0.5))
        first = float(np.linalg.norm(np.float64(model.get_layer("head").kernel)))
        model.fit(*data(), batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        trained.append(model.get_weights())
    for one, other in zip(*trained, strict=True):
        np.testing.assert_array_equal(one, other)  # also batch statistics
    rows = table(tmp_path / "n.csv")
    heads = rows[rows["layer"] == "head"]
    assert list(heads["step"]) == [0, 2, 4, 6]
    last = float(np.linalg.norm(np.float64(trained[1][-2])))
    np.testing.assert_allclose(
        10.0 ** heads["log10_weight"].iloc[[0, -1]].astype(float), [first, last], rtol=1e-12
    )
    others = rows[rows["layer"] == "dropout"]
    assert others["log10_weight"].isna().all()
    assert others["log10_backward"].notna().all()


def test_zeros_and_nan_are_told_apart(tmp_path):
    for value, word in ((0.0, "-inf"), (np.nan, "nan")):
        model = network()
        kernel, bias = model.get_layer("head").get_weights()
        model.get_layer("head").set_weights([np.full_like(kernel, value), bias])
        norms = gradlab_keras.Norms(*data(), tmp_path / "n.csv")
        norms.set_model(model)
        norms.write()
        rows = table(tmp_path / "n.csv")
        assert {str(found) for found in rows["log10_backward"][:3]} == {word}
        assert str(rows["log10_weight"][3]) == word


@pytest.mark.skipif(os.environ["KERAS_BACKEND"] != "jax", reason="it is this one")
def test_all_of_this_on_pytorch():
    pytest.importorskip("torch")
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", __file__]
    ran = subprocess.run(words, env=os.environ | {"KERAS_BACKEND": "torch"}, capture_output=True, text=True)
    assert "3 passed, 1 skipped" in ran.stdout, ran.stdout
