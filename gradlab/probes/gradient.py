"""How large is each parameter's gradient, and how many of its entries are zero, infinite or NaN?"""

from gradlab.numerics import LOG10_2, counts
from gradlab.probes.family import Moment, PerParameter, Probe, probe


@probe
def gradient() -> Probe:
    """log10 of ‖∂(data loss)/∂θ‖, before penalty and clip, beyond float32's range; counts are of its entries."""

    def ask(moment: Moment) -> PerParameter:
        logs = {path: LOG10_2 * value for path, value in moment.true_norms.items()}
        return {"log10_gradient": logs, **counts(moment.grads, moment.norms.leaves, moment.lead)}

    return Probe(("log10_gradient", "zeros", "infs", "nans"), moment=ask)
