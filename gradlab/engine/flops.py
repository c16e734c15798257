"""How many floating-point operations a traced program makes, by its matrix products and convolutions.

XLA's own count (`compiled.cost_analysis()`) takes the body of a loop once, and here the layers and the steps are loops.
"""

import math
from collections.abc import Iterator
from typing import Any


def flops(jaxpr: Any) -> int | None:
    """Multiplications and additions of all matrix products and convolutions; None where loops have no fixed length.

    Of a choice between branches the most expensive one counts.
    """
    total = 0
    for equation in jaxpr.eqns:
        count = _flops_of(equation)
        if count is None:
            return None
        total += count
    return total


def _flops_of(equation: Any) -> int | None:
    """The operations of one equation of a jaxpr."""
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        lengths = [equation.invars[0].aval.shape[axis] for axis in contracted]
        return 2 * int(equation.outvars[0].aval.size) * int(math.prod(lengths))
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        features = kernel.shape[parameters["dimension_numbers"].rhs_spec[0]]
        return 2 * int(equation.outvars[0].aval.size) * int(kernel.size) // int(features)
    counts = [flops(inner) for inner in _inner(parameters)]
    if None in counts:
        return None
    inner_counts = [count for count in counts if count is not None]
    if name == "scan":
        return int(parameters["length"]) * sum(inner_counts)
    if name == "while":
        return None if any(inner_counts) else 0
    return max(inner_counts, default=0) if name == "cond" else sum(inner_counts)


def _inner(parameters: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs among the parameters of an equation: bodies of loops, branches, functions that are called."""
    for value in parameters.values():
        for entry in value if isinstance(value, tuple | list) else [value]:
            closed = getattr(entry, "jaxpr", entry)
            if hasattr(closed, "eqns"):
                yield closed
