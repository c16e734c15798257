"""Gradient clipping: (grads, state, params) -> (grads, state, record), before the optimizer sees the gradient.

Every rule is safe outside float32's range: norms come as mantissa and exponent, never from a plain sum of
squares. What is at or below its limit passes bit for bit, and so does what is not finite: no rule turns an
infinity or a NaN into a number. A divergence is to be seen, not hidden.
"""
