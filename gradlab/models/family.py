"""The family of the models."""

from gradlab.models.own import adapted
from gradlab.models.plan import Model, Plan
from gradlab.parts.family import Family, Own

__all__ = ["Model", "Plan", "model"]

model = Family("model", own=Own(2, adapted))
