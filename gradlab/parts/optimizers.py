"""Optimizers: Optax transformations from the clipped gradient to a direction; the step multiplies it by −lr."""

import optax

from gradlab.bounds import Positive, Share
from gradlab.parts.family import Family

optimizer = Family("optimizer")


@optimizer
def sgd() -> optax.GradientTransformation:
    """Δθ = −lr·g."""
    return optax.identity()


@optimizer
def momentum(decay: Share) -> optax.GradientTransformation:
    """m <- g + decay·m, Δθ = −lr·m (heavy ball, Optax's and PyTorch's form without dampening)."""
    return optax.trace(decay)


@optimizer
def adam(b1: Share, b2: Share, eps: Positive) -> optax.GradientTransformation:
    """m, v: averages of g, g²; Δθ = −lr·m̂/(√v̂ + eps) (Kingma & Ba 2015).

    Each entry is divided by its own size: tiny gradients get healthy updates, so look at the raw ones beside.
    """
    return optax.scale_by_adam(b1, b2, eps)
