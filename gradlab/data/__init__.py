"""The data sets: importing this registers them all."""

from gradlab.data import (
    bearing,
    digits,
    finance,
    gaussian,
    lesions,
    longrange,
    plane,
    prose,
    sequential_digits,
    shapes,
    speech,
    tables,
    teacher,
    transduction,
)

__all__ = [
    "bearing",
    "digits",
    "finance",
    "gaussian",
    "lesions",
    "longrange",
    "plane",
    "prose",
    "sequential_digits",
    "shapes",
    "speech",
    "tables",
    "teacher",
    "transduction",
]
