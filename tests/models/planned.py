"""A plan for networks that are made without a recipe."""

import jax.numpy as jnp

from gradlab.nn.plan import Plan
from gradlab.parts.activations import activation
from gradlab.parts.initializers.contract import initializer
from gradlab.parts.normalizations import normalization
from gradlab.parts.residuals import residual
from tests.driver import FORM


def plan(**changes) -> Plan:
    """The default parts on a small form, with changes."""
    parts = {
        "activation": activation.make({"name": "tanh"}),
        "initializer": initializer.make({"name": "lecun", "distribution": "normal"}),
        "normalization": normalization.make({"name": "none"}),
        "residual": residual.make({"name": "none"}),
    }
    usual = {
        **{name: value for name, value in FORM._asdict().items() if name in Plan._fields},
        "depth": 3,
        "width": 8,
        **parts,
        "dropout": None,
        "dtype": jnp.dtype("float32"),
    }
    return Plan(**(usual | changes))
