"""Which rows of an embedding get a gradient, and which have never been updated?"""

import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.tree import Tree

NAME = "embedding"  # the last part of an embedding's path; its kernel is (tokens, units)


@probe
def rows() -> Probe:
    """Of each embedding: the fraction of its rows whose gradient is exactly zero, and of those never updated.

    A row is that of one token. zero_gradient_rows: in this minibatch, whose tokens are the only ones with a gradient.
    never_updated_rows: whose Δθ was exactly zero in every row of the table so far (Adam and momentum move a row on once
    it had a gradient, AdaGrad and gradient descent only when it has one). The state is one flag per token. Null for
    layers without an embedding; those of a stack of blocks are not looked at.
    """

    def ask(update: UpdateSignal, untouched: Tree) -> tuple[UpdateColumns, Tree]:
        still = {path: flags & ~_moves(update, path) for path, flags in untouched.items()}
        zero = {path: ~jnp.any(update.grads[path] != 0, axis=1) for path in untouched}
        columns = {
            "zero_gradient_rows": _by_layer(update, zero),
            "never_updated_rows": _by_layer(update, still),
        }
        return columns, still

    texts = {
        "zero_gradient_rows": "fraction of an embedding's rows whose gradient is exactly zero in the minibatch",
        "never_updated_rows": "fraction of an embedding's rows that no measured step has updated, this one included",
    }
    columns = [
        Column(name, text, "fraction", nan_is_null=True, needs_update=name == "never_updated_rows")
        for name, text in texts.items()
    ]
    return Probe(tuple(columns), update=ask, init=_all_rows, needs=NAME)


def _all_rows(params: Tree) -> Tree:
    """A flag for each row of each embedding."""
    found = {path: w for path, w in params.items() if path.rpartition("/")[2] == NAME and w.ndim == 2}
    return {path: jnp.ones(len(w), bool) for path, w in found.items()}


def _moves(update: UpdateSignal, path: str) -> Array:
    return jnp.any(update.step_size * update.direction[path] != 0, axis=1)


def _by_layer(update: UpdateSignal, flags: dict[str, Array]) -> Array:
    values = jnp.full(update.layers, jnp.nan)
    for path, rows in flags.items():
        values = values.at[update.layers_of[path][0]].set(jnp.mean(rows.astype(jnp.float32)))
    return values
