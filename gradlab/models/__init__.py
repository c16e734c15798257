"""The models: importing this registers them all."""

from gradlab.models import lsuv, mlp

__all__ = ["lsuv", "mlp"]
