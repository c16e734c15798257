"""Scaled dot-product attention with its entropy: how evenly does each position attend to the others?"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def attention(query: Array, key: Array, value: Array, heads: int, causal: bool) -> tuple[Array, Array]:
    """softmax(Q Kᵀ/√d)·V of each head, with d units per head, and the mean entropy −Σ p ln p of its rows, in nats.

    Query, key, value and the output are (examples, time, units), the entropy is (). `causal`: a position attends to
    itself and to those before it (Vaswani et al. 2017). The entropy is ln T where all T positions have the same
    weight, 0 where one position has all of it.
    """
    weights, entropies = softmax(logits(query, key, heads, causal))
    entropy = jnp.mean(entropies)
    v = value.reshape(*value.shape[:2], heads, -1)
    output = jnp.einsum("bhts,bshd->bthd", weights.astype(v.dtype), v)
    return output.reshape(query.shape), entropy


def logits(query: Array, key: Array, heads: int, causal: bool) -> Array:
    """Q Kᵀ/√d of each head, (examples, heads, time, time): a row for each query, −inf where the mask forbids a key."""
    # (examples, time, heads, d)
    q, k = (x.reshape(*x.shape[:2], heads, -1) for x in (query, key))
    dtype = jnp.promote_types(q.dtype, jnp.float32)
    scores: Array = jnp.einsum("bthd,bshd->bhts", q, k).astype(dtype) / q.shape[-1] ** 0.5
    if causal:
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        scores = jnp.where(mask, scores, -jnp.inf)
    return scores


def softmax(scores: Array) -> tuple[Array, Array]:
    """The weights of each row of scores, (…, time, time), and the row's entropy −Σ p ln p, (…, time), in nats."""
    log_softmax: Any = jax.nn.log_softmax  # untyped
    log_weights: Array = log_softmax(scores)
    weights = jnp.exp(log_weights)
    # p ln p, with 0 ln 0 = 0 in the gradient too
    terms = jnp.where(weights > 0, weights * jnp.where(weights > 0, log_weights, 0), 0)
    return weights, -jnp.sum(terms, axis=-1)
