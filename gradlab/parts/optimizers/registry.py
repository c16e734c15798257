"""The family `optimizer`: gradlab's own rules by name, Optax's as `optax:NAME`, and user-defined functions."""

from gradlab.parts.family import Family, UserFunction
from gradlab.parts.optimizers.optax_functions import from_function, optax_function

optimizer = Family(
    "optimizer",
    "gradlab.parts.optimizers",
    # the first argument, the learning rate, is not a number of the recipe
    user_function=UserFunction(1, from_function, {"optax": optax_function}),
)
