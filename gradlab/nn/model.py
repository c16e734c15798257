"""The family of the models."""

from gradlab.nn.adapters import from_user_build
from gradlab.nn.plan import Model, Plan
from gradlab.parts.family import Family, UserFunction

__all__ = ["Model", "Plan", "model"]

model = Family("model", "gradlab.models", user_function=UserFunction(2, from_user_build))
