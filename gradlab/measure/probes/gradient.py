"""How large is each parameter's gradient, and how many of its entries are zero, infinite or NaN?"""

from gradlab.measure.probe import PerParameter, Probe, UpdateSignal, probe
from gradlab.numerics.norms import LOG10_2, counts


@probe
def gradient() -> Probe:
    """log10 of ‖∂(data loss)/∂θ‖ before penalty and clip, beyond float32's range, and counts of its entries.

    One value per layer of each parameter."""

    def ask(update: UpdateSignal) -> PerParameter:
        logs = {path: LOG10_2 * value for path, value in update.true_norms.items()}
        return {"log10_gradient": logs, **counts(update.grads, update.norms.leaves, update.stacked_axes)}

    return Probe(("log10_gradient", "zeros", "infs", "nans"), update=ask)
