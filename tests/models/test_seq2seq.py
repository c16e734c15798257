"""Sequence to sequence: the gradient is that of two plain loops, and it comes back through one state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.data.task import Form
from gradlab.recipe.errors import RecipeError
from tests.models.sequences import network
from tests.models.test_recurrent import lstm_step
from tests.recipes import launch, tiny

T, V, B, WIDTH = 4, 5, 3, 8
FORM = Form((2 * T,), V + 1, V, True)
X = np.random.default_rng(0).integers(0, V, (B, 2 * T)).astype(np.int32)
U = np.random.default_rng(1).standard_normal((B, T, V))


def plain(params, x):
    """A loop that reads, and a loop that goes on from where it ended."""
    h = params["input/embedding"][x]
    state = (jnp.zeros((B, WIDTH), h.dtype),) * 2
    for block, part in (("encoder", h[:, :T]), ("decoder", h[:, T:])):
        own = {path.removeprefix(f"{block}/"): w for path, w in params.items() if path.startswith(block)}
        outputs = []
        for t in range(T):
            state = lstm_step(own, part[:, t], state)
            outputs.append(state[0])
    return jnp.stack(outputs, 1) @ params["output/linear/kernel"] + params["output/linear/bias"]


@pytest.mark.slow
def test_the_gradient_is_that_of_two_plain_loops():
    with jax.enable_x64(True):
        found = network(("model=seq2seq", "dtype=float64"), FORM)
        params = found.random()
        seen = found.loss_and_grads(params, X, U)
        loss, grads = jax.jit(jax.value_and_grad(lambda params: jnp.vdot(plain(params, X), U)))(params)
    assert seen.loss == pytest.approx(float(loss), rel=1e-10)
    for path, value in grads.items():
        np.testing.assert_allclose(seen.grads[path], value, rtol=1e-8, atol=1e-10, err_msg=path)
    assert seen.times.shape == (2, 2, T)  # encoder and decoder; h and c; time
    assert np.isfinite(seen.times).all()


@pytest.mark.slow
def test_only_the_last_state_of_the_encoder_is_answered_from():
    """With a forget gate that is shut for good, no answer knows of the source."""
    found = network(("model=seq2seq",), FORM)
    params = found.random()
    bias = np.zeros(4 * WIDTH, np.float32)
    bias[WIDTH : 2 * WIDTH], bias[3 * WIDTH :] = -1e4, -1e4  # f and o of the encoder: c keeps i∘g, h is 0
    shut = params | {
        "encoder/input/bias": jnp.asarray(bias),
        "encoder/input/kernel": 0 * params["encoder/input/kernel"],
    }
    other = np.concatenate([(X[:, :T] + 1) % V, X[:, T:]], axis=1)
    np.testing.assert_array_equal(found.run(shut, X), found.run(shut, other))
    assert (found.run(params, X) != found.run(params, other)).any()


WRONG = {
    "depth=2": (FORM, "depth=1; got depth=2"),
    "activation=relu": (FORM, "leave activation=tanh"),
    "normalization=layer": (FORM, "choose normalization=none"),
    "width=4": (Form((T, 3), 0, 2, False), "choose data=copy or reverse"),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("word", WRONG)
def test_what_does_not_fit_is_refused_in_one_line(word):
    form, told = WRONG[word]
    with pytest.raises(RecipeError, match=told):
        network(("model=seq2seq", word), form).setup()


def test_a_network_that_answers_at_other_steps_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(
        RecipeError, match=r"gives outputs of shape \(16, 20, 8\), and data=reverse needs \(16, 10, 8\)"
    ):
        launch(tiny(tmp_path, "model=rnn", "data=reverse", "depth=1"))
    assert not list(tmp_path.iterdir())
