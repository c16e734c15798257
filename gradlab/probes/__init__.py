"""The probes: importing this registers them all."""

from gradlab.probes import (
    backward,
    cosine,
    forward,
    gradient,
    moments,
    preactivation,
    saturation,
    update,
    weight,
)

__all__ = [
    "backward",
    "cosine",
    "forward",
    "gradient",
    "moments",
    "preactivation",
    "saturation",
    "update",
    "weight",
]
