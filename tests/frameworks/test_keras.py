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


def test_a_graph_of_layers_with_one_that_is_used_twice(tmp_path):
    keras.utils.set_random_seed(0)
    twice = keras.layers.Dense(WIDTH, "tanh", name="twice")
    given = keras.Input((WIDTH,))
    h = twice(given)
    model = keras.Model(
        given, keras.layers.Dense(3, name="head")(keras.layers.Add(name="sum")([h, twice(h)]))
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = data()
    norms = gradlab_keras.Norms(x, y, tmp_path / "n.csv")
    norms.set_model(model)
    norms.write()
    rows = table(tmp_path / "n.csv")
    assert list(rows["layer"]) == ["twice", "sum", "head"]
    kernel, bias, last, _ = map(np.float64, model.get_weights())
    first = np.tanh(x @ kernel + bias)
    second = np.tanh(first @ kernel + bias)
    shares = np.exp((first + second) @ last)
    delta = (shares / shares.sum(1, keepdims=True) - np.eye(3)[y]) / EXAMPLES @ last.T
    back = delta + delta * (1 - second**2) @ kernel.T  # along both paths
    assert 10 ** rows["log10_forward"][0] == pytest.approx(np.sqrt(np.mean(first**2)), rel=1e-6)
    expected = np.sqrt(EXAMPLES) * np.array([np.linalg.norm(back), np.linalg.norm(delta)])
    np.testing.assert_allclose(10.0 ** rows["log10_backward"][:2].astype(float), expected, rtol=1e-5)


def test_another_backend_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(ValueError, match="Norms needs Keras on jax or torch; its backend is tensorflow"):
        gradlab_keras.Norms(*data(), tmp_path / "n.csv")


@pytest.mark.slow  # so that it does not run itself
def test_all_of_this_on_pytorch():
    pytest.importorskip("torch")
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", __file__]
    ran = subprocess.run(words, env=os.environ | {"KERAS_BACKEND": "torch"}, capture_output=True, text=True)
    assert "5 passed, 1 deselected" in ran.stdout, ran.stdout
