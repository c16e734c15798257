"""Gradient clipping: rules that shorten the gradient before the optimizer sees it, or the update after it.

Every rule is right outside float32's range: norms are held as mantissa and exponent, never computed from a plain sum
of squares. What is at or below its limit is passed on bit for bit, and so is what is not finite: no rule turns an
infinity or a NaN into a number. A divergence must be seen, not hidden.
"""
