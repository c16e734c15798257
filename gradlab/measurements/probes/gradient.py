"""How large is each parameter's gradient, and how many of its entries are zero, infinite or NaN?"""

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics import norms
from gradlab.numerics.norms import LOG10_2


@probe
def gradient() -> Probe:
    """log10 of ‖∂(data loss)/∂θ‖ before penalty and clip, beyond float32's range, and counts of its entries.

    One value per layer of each parameter."""

    def ask(update: UpdateSignal) -> UpdateColumns:
        logs = {path: LOG10_2 * value for path, value in update.true_norms.items()}
        entries = norms.counts(update.grads, update.norms.leaves, update.stacked_axes)
        return {"log10_gradient": logs, **entries}

    norm = Column(
        "log10_gradient",
        "log10 of the norm of ∂(data loss)/∂θ, before penalty and clip",
        unit="log10",
        kind="parameter",
        over_kernels="norm",
    )
    counts = [
        Column(
            name,
            f"entries of the gradient that are {word}",
            unit="count",
            kind="parameter",
            over_kernels="sum",
            is_count=True,
        )
        for name, word in (("zeros", "zero"), ("infs", "infinite"), ("nans", "NaN"))
    ]
    return Probe((norm, *counts), update=ask)
