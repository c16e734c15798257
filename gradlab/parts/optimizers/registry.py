"""The family `optimizer`: gradlab's own rules by name, Optax's as `optax:NAME`, and user-defined functions."""

from gradlab.parts.family import Family, UserFunction
from gradlab.parts.optimizers.optax_functions import from_function, optax_function

optimizer = Family(
    "optimizer",
    "gradlab.parts.optimizers",
    own=UserFunction(
        1, from_function, {"optax": optax_function}
    ),  # the learning rate is no number of the recipe
)
