"""Do successive gradients point the same way, and does the update follow the gradient?"""

import jax.numpy as jnp

from gradlab.measurements.by_layer import cosines
from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.tree import Tree


@probe
def direction() -> Probe:
    """Cosines over the kernels of a layer, and over all parameters of the network.

    gradient_cosine: between this minibatch's gradient and that of the row measured before it, before penalty and clip;
    null in the first row. descent_cosine: between the gradient and −Δθ; 1 for gradient descent. Both are null where
    one of the two is exactly zero. They are computed of arrays whose largest entry is near 1, so that no product
    leaves the number format. The state is the last gradient, as large as the parameters.
    """

    def ask(update: UpdateSignal, before: Tree) -> tuple[UpdateColumns, Tree]:
        layer, whole = cosines(update, update.grads, before)
        descent, whole_descent = cosines(update, update.grads, update.direction)
        columns = {
            "gradient_cosine": layer,
            "network_gradient_cosine": whole,
            "descent_cosine": descent,
            "network_descent_cosine": whole_descent,
        }
        return columns, update.grads

    with_before = "cosine between this minibatch's gradient and that of the row measured before"
    with_update = "cosine between the gradient and −Δθ"
    texts = {"gradient_cosine": with_before, "descent_cosine": with_update}
    columns = [
        Column(
            prefix + name,
            f"{text}, over {over}",
            kind=kind,
            nan_is_null=True,
            needs_update=name == "descent_cosine",
        )
        for name, text in texts.items()
        for prefix, over, kind in (
            ("", "the layer's kernels", "layer"),
            ("network_", "all parameters", "step"),
        )
    ]
    zeros = lambda params: {path: jnp.zeros_like(w) for path, w in params.items()}
    return Probe(tuple(columns), update=ask, init=zeros)
