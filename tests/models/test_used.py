"""What of a recipe takes no part in a network: it may be changed, and the program stays the same."""

import jax
import jax.numpy as jnp
import pytest

from gradlab.engine import step
from gradlab.engine.layout import layout
from gradlab.engine.seed_programs import numbers_for
from gradlab.engine.setup import make_setup
from gradlab.nn import chain
from gradlab.recipe.recipe import Recipe, numbers, plain
from gradlab.report.summary import describe
from tests.driver import BATCH, FORM, recipe, task

OTHER = {  # another choice for each part that may take no part
    "depth": "depth=5",
    "width": "width=9",
    "dropout": "dropout=0.3",
    "activation": "activation=softplus",
    "initializer": "initializer=normal",
    "residual": "residual=scaled",
    "normalization": "normalization=layer",
}
ONE_BLOCK = ("model=custom", f"model.name={__name__}:one_block")
WITH_PARTS = ("model=custom", f"model.name={__name__}:with_parts")
CASES = [
    (("model=mlp",), set()),
    (("model=linear", "depth=3"), {"dropout", "activation", "residual", "normalization"}),
    (("model=linear", "depth=1"), {"width", "dropout", "activation", "residual", "normalization"}),
    (("model=perceptron", "depth=1"), {"width", "dropout", "residual", "normalization"}),
    (("model=point", "batch_size=2"), set(OTHER)),
    (ONE_BLOCK, set(OTHER)),
    (WITH_PARTS, {"depth", "dropout", "residual", "normalization"}),
]


def one_block(plan, key):
    """Softmax regression of its own."""
    kernel = jax.random.normal(key, (plan.features, plan.outputs))
    return [(lambda kernel, x: x @ kernel, kernel)]


def with_parts(plan, key):
    """A network of one hidden layer, with the recipe's width, initializer and activation."""
    first, last = jax.random.split(key)
    hidden = plan.initializer.kernel(first, (plan.features, plan.width))
    output = plan.initializer.kernel(last, (plan.width, plan.outputs))
    return [(lambda w, x: plan.activation.phi(x @ w), hidden), (lambda w, h: h @ w, output)]


def program(recipe: Recipe) -> str:
    """The start and the forward pass in training, as JAX traces them."""

    def run(numbers, key, x):
        setup = make_setup(recipe, numbers, FORM)
        state = step.init_state(setup, key, x)
        return chain.forward(setup.chain, state.params, state.stats, x, key, train=True)[0]

    values = numbers_for(numbers(recipe), recipe.dtype)
    traced = jax.make_jaxpr(lambda key, x: run(values, key, x))(
        jax.random.key(0), jnp.zeros((BATCH, *FORM.shape))
    )
    return str(traced)


@pytest.mark.parametrize(("words", "unused"), CASES)
def test_what_is_unused_changes_no_program_and_what_is_used_does(words, unused):
    choices = {word.partition("=")[0] for word in words}
    original, everything = recipe(*words), [OTHER[key] for key in unused - choices]
    # a part that is `none` is not used, and another choice for it is
    absent = {key for key in ("dropout", "residual", "normalization") if key not in unused}
    assert {*OTHER} - layout(original, task()).used - absent == unused
    if words[0] == "model=linear":  # any other activation is refused
        everything.remove(OTHER["activation"])
    assert program(recipe(*words, *everything)) == program(original)
    for key in {*OTHER} - unused - choices:
        assert program(recipe(*words, OTHER[key])) != program(original), key


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("model=point", "batch_size=2"),
            "point · loss rosenbrock · sgd lr 0.1 · clip none · single · seed 0",
        ),
        (("model=perceptron", "depth=1"), "perceptron · depth 1 · linear · orthogonal · sgd"),
        (ONE_BLOCK, "one_block · sgd"),
        (WITH_PARTS, "with_parts · width 8 · tanh · orthogonal · sgd"),
    ],
)
def test_a_header_names_only_what_takes_part(words, said):
    found = recipe(*words)
    assert said in describe(plain(found), layout(found, task()).used)
