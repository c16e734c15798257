"""The data sets: importing this registers them all."""

from gradlab.data import digits

__all__ = ["digits"]
