"""Floating-point operations: by hand, loop by loop, and those of a step of the mlp by its formula."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from gradlab.engine import seed_programs
from gradlab.engine.flops import flops
from gradlab.engine.seed_programs import Data, Span, numbers_for
from gradlab.recipe.recipe import numbers
from tests.driver import recipe, task

A, B = jnp.ones((3, 4)), jnp.ones((4, 5))
PRODUCT = 2 * 3 * 4 * 5


def repeated(body, length: int):
    return lambda: jax.lax.scan(lambda carry, _: (carry, body()), 0, length=length)


def convolved():
    x, kernel = jnp.ones((2, 9, 8, 3)), jnp.ones((3, 3, 3, 7))
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


CASES = {
    "a product": (lambda: A @ B, PRODUCT),
    "a batch of products": (
        lambda: jnp.einsum("bij,bjk->bik", jnp.ones((6, 3, 4)), jnp.ones((6, 4, 5))),
        6 * PRODUCT,
    ),
    "a loop": (repeated(lambda: A @ B, 7), 7 * PRODUCT),
    "a loop in a loop": (repeated(repeated(lambda: A @ B, 7), 2), 14 * PRODUCT),
    "a function that is called": (jax.jit(lambda: A @ B), PRODUCT),
    "the larger branch": (lambda: jax.lax.cond(A[0, 0] > 0, lambda: (A @ B).sum(), lambda: A.sum()), PRODUCT),
    "a product and its gradient": (lambda: jax.value_and_grad(lambda a: (a @ B).sum())(A), 2 * PRODUCT),
    "a convolution": (convolved, 2 * (2 * 7 * 6 * 7) * (3 * 3 * 3)),
    "no product": (lambda: A + 1, 0),
    "a search without products": (lambda: jax.lax.while_loop(lambda n: n < 9, lambda n: 2 * n, 1), 0),
    "a search with products": (
        lambda: jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ x, jnp.ones((2, 2))),
        None,
    ),
}


@pytest.mark.parametrize(("function", "expected"), CASES.values(), ids=CASES)
def test_they_are_counted_by_hand(function, expected):
    assert flops(jax.make_jaxpr(function)().jaxpr) == expected


def test_a_step_of_the_mlp_has_those_of_its_formula():
    """2·B·n·m of each kernel for the outputs, as many for its gradient, and for that of its inputs but the first's."""
    chosen = recipe("depth=3", "width=8", "batch_size=16", "probe=[forward]")
    given = task()
    values = numbers_for(numbers(chosen), chosen.dtype)
    data = Data(*map(jnp.asarray, (given.train_x, given.train_y, given.test_x, given.test_y)))
    features = given.train_x.shape[-1]
    state = jax.eval_shape(partial(seed_programs.start, chosen, given.form), jnp.uint32(0), values, data)
    chunk = partial(seed_programs.chunk, chosen, given.form, 5)
    span = Span(*(jnp.int32(0) for _ in range(4)))
    kernels = [features * 8, 8 * 8, 8 * 8, 8 * 8, 8 * given.outputs]
    expected = 2 * 16 * (3 * sum(kernels) - kernels[0])
    assert flops(jax.make_jaxpr(chunk)(state, jnp.uint32(0), values, data, span).jaxpr) == 5 * expected
