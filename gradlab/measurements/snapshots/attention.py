"""How large are the logits of each attention head, how even its weights, and how much of them has the first token?"""

import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.snapshot import LayerAttention, Snapshot, SnapshotInputs, snapshot
from gradlab.numerics.attention import logits, softmax
from gradlab.recipe.errors import RecipeError

Notes = dict[tuple[int, str], Array]


@snapshot
def attention() -> Snapshot:
    """Of each head of each layer on the fixed batch, as notes `MEASURE_head1`, …

    attention_largest_logit: max |q·k|/√d over the pairs that the mask allows, before the softmax. Where it grows far
    beyond 10 the softmax saturates, and in 16 bits it may overflow (Dehghani et al. 2023).
    attention_head_entropy: mean of −Σ p ln p over the queries, in nats; near 0 every query attends to one position
    (entropy collapse; Zhai et al. 2023).
    attention_first_share: mean weight of the first position over the queries after the first (an attention sink; Xiao
    et al. 2024); a causal head of equal weights has the mean of 1/t, t = 2 … T.

    Raises RecipeError where the network has no attention. It runs the forward pass once more, only when it is taken.
    """
    columns = (
        Column(
            "attention_largest_logit",
            "max |q·k|/√d of a head, of the pairs that the mask allows",
            kind="note",
        ),
        Column(
            "attention_head_entropy",
            "mean entropy of a head's weights over its queries, in nats",
            kind="note",
        ),
        Column(
            "attention_first_share",
            "mean weight of the first position over the queries after the first, of a head",
            unit="fraction",
            kind="note",
        ),
    )
    return Snapshot(columns, _measured, refuses=True)


def _measured(inputs: SnapshotInputs) -> dict[str, Notes]:
    layers = inputs.attention()
    if not layers:
        raise RecipeError(
            "this network has no attention; choose model=transformer, or leave the probe 'attention' out"
        )
    notes: dict[str, Notes] = {}
    for layer in layers:
        for measure, heads in of_layer(layer).items():
            by_head = {(layer.layer, f"head{head + 1}"): heads[head] for head in range(layer.heads)}
            notes.setdefault(measure, {}).update(by_head)
    return notes


def of_layer(layer: LayerAttention) -> dict[str, Array]:
    """The measures of a layer by name, (heads,) each."""
    scores = logits(layer.query, layer.key, layer.heads, layer.causal)  # (examples, heads, time, time)
    weights, entropies = softmax(scores)
    allowed = jnp.tri(scores.shape[-1], dtype=bool) if layer.causal else True
    sizes = jnp.where(allowed, jnp.abs(scores), 0)
    first = weights[:, :, 1:, 0]  # empty where there is one position
    return {
        "attention_largest_logit": jnp.max(sizes, axis=(0, 2, 3)),
        "attention_head_entropy": jnp.mean(entropies, axis=(0, 2)),
        "attention_first_share": jnp.mean(first, axis=(0, 2)),
    }
