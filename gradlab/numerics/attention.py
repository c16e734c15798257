"""Scaled dot-product attention with its entropy: how widely does each position look?"""

import jax
import jax.numpy as jnp
from jax import Array


def attention(query: Array, key: Array, value: Array, heads: int, causal: bool) -> tuple[Array, Array]:
    """softmax(Q Kᵀ/√d)·V of each head, d units a head, and the mean entropy −Σ p ln p of its rows, in nats.

    All are (examples, time, units). `causal`: a position sees itself and those before it (Vaswani et al. 2017).
    The entropy is ln T where every position is seen alike, 0 where one alone is.
    """
    split = lambda x: x.reshape(*x.shape[:2], heads, -1)
    q, k, v = split(query), split(key), split(value)
    wide = jnp.promote_types(q.dtype, jnp.float32)
    scores = jnp.einsum("bthd,bshd->bhts", q, k).astype(wide) / q.shape[-1] ** 0.5
    if causal:
        seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        scores = jnp.where(seen, scores, -jnp.inf)
    logs = jax.nn.log_softmax(scores)
    shares = jnp.exp(logs)
    entropy = -jnp.mean(jnp.sum(jnp.where(shares > 0, shares * jnp.where(shares > 0, logs, 0), 0), axis=-1))
    out = jnp.einsum("bhts,bshd->bthd", shares.astype(v.dtype), v)
    return out.reshape(query.shape), entropy
