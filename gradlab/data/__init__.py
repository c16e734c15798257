"""The data sets: importing this registers them all."""

from gradlab.data import digits, longrange, sequential_digits, transduction

__all__ = ["digits", "longrange", "sequential_digits", "transduction"]
