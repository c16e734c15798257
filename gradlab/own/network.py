"""`gradlab.profile`: forward signal, backward signal and weight gradient of any network, from one pass."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.nn import chain, measured
from gradlab.nn.adapters import blocks_of
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError, described
from gradlab.report.profiled import Profile


def profile(
    network: Any,
    x: Any,
    loss: Callable[[Any], Array],
    *,
    params: Any = None,
    key: Array | None = None,
    train: bool = True,
) -> Profile:
    """The depth profiles of one forward and one backward pass, block by block, with their verdict.

    Args:
        network: a Flax NNX or Linen module, an Equinox module, what `hk.transform` returns, a function (params, x) ->
            output, or a list of blocks: functions (params, h) -> h, pairs (function, params), or modules.
        x: the input, an array (examples, …), or a pytree of arrays for a list of functions.
        loss: maps the network's output to the mean loss over the examples, a scalar.
        params: for a Linen module, a Haiku pair or a function its parameters; for a list of functions a list of theirs.
            Without it those of a Linen module or a Haiku pair are drawn.
        key: for what is drawn, parameters and dropout; by default `jax.random.key(0)`.
        train: whether dropout and batch normalization are in training mode.

    Equal blocks in a row are compiled once and run by `lax.scan`, so that depth costs no compile time. How the blocks
    of a module are found: docs/own.md.

    Raises:
        RecipeError: the network does not take x, the loss is no real scalar, or nothing has parameters.

    >>> import jax, jax.numpy as jnp, gradlab
    >>> keys = jax.random.split(jax.random.key(0), 50)
    >>> weights = [jax.random.orthogonal(key, 32) for key in keys]
    >>> found = gradlab.profile([lambda w, h: h @ w] * 50, jnp.ones((8, 32)), jnp.mean, params=weights)
    >>> found.verdict  # orthogonal matrices: nothing is lost
    'flowing'
    """
    key = jax.random.key(0) if key is None else key
    x = jax.tree.map(jnp.asarray, x)
    given = _with_parameters(network, params)
    try:
        blocks = blocks_of(lambda key: given, x)
        tree, stats = chain.initialize(blocks, key)
        output = jax.eval_shape(lambda x: chain.forward(blocks, tree, stats, x, key, train=train)[0], x)
    except Exception as error:  # whatever the user's network raises
        raise _misfit(error, x) from error
    _require_scalar(loss, output)

    def run(tree: Tree, stats: Tree, x: Any) -> measured.Pass:
        examples = len(jax.tree.leaves(x)[0])
        inputs = measured.Inputs(tree, stats, None, x, key, examples, train)
        return measured.measured_pass(blocks, lambda output, _: (loss(output), None), inputs)

    found = jax.jit(run)(tree, stats, x)
    names = tuple(chain.layer_names(blocks))
    has_kernel = tuple(chain.has_kernel(blocks, tree))
    return Profile.of(names, has_kernel, float(found.loss), *map(np.asarray, found.profiles))


def _with_parameters(network: Any, params: Any) -> Any:
    """The network with the parameters that were given for it, as `blocks_of` takes it."""
    if params is None:
        return network
    if not isinstance(network, list):
        return network, params
    if len(network) != len(params):
        raise RecipeError(f"as many params as blocks: got {len(params)} for {len(network)} blocks")
    return list(zip(network, params, strict=True))


def _require_scalar(loss: Callable[[Any], Array], output: Any) -> None:
    try:
        value = jax.eval_shape(loss, output)
    except Exception as error:
        raise RecipeError(
            f"the loss does not take the network's output, {_shapes(output)}: {described(error)}"
        ) from error
    measured.require_scalar(value)


def _misfit(error: Exception, x: Any) -> RecipeError:
    """What to say where the network cannot be run on x."""
    if isinstance(error, RecipeError):
        return error
    whole = any(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(x))
    hint = "; x holds whole numbers: give floating point numbers unless they are tokens" if whole else ""
    return RecipeError(f"the network does not take an input of {_shapes(x)}: {described(error)}{hint}")


def _shapes(tree: Any) -> str:
    """`shape (8, 32), float32`, of every array."""
    return " and ".join(f"shape {leaf.shape}, {leaf.dtype}" for leaf in jax.tree.leaves(tree))
