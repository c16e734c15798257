"""The models: importing this registers them all."""

from gradlab.models import mlp

__all__ = ["mlp"]
