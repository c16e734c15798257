"""How large is each parameter's gradient, and how many of its entries are zero, infinite or NaN?"""

from gradlab.measure.probe import Moment, PerParameter, Probe, probe
from gradlab.numerics.norms import LOG10_2, counts


@probe
def gradient() -> Probe:
    """log10 of ‖∂(data loss)/∂θ‖ before penalty and clip, beyond float32's range, and counts of its entries.

    One value per layer of each parameter."""

    def ask(moment: Moment) -> PerParameter:
        logs = {path: LOG10_2 * value for path, value in moment.true_norms.items()}
        return {"log10_gradient": logs, **counts(moment.grads, moment.norms.leaves, moment.stacked_axes)}

    return Probe(("log10_gradient", "zeros", "infs", "nans"), moment=ask)
