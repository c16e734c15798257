"""How large is each parameter?"""

from gradlab.measure.probe import Moment, PerParameter, Probe, probe
from gradlab.numerics.norms import LOG10_2, log2_norms


@probe
def weight() -> Probe:
    """log10 of ‖θ‖, one value per layer of each parameter."""

    def ask(moment: Moment) -> PerParameter:
        norms = log2_norms(moment.params, moment.stacked_axes).leaves
        return {"log10_weight": {path: LOG10_2 * value for path, value in norms.items()}}

    return Probe(("log10_weight",), moment=ask)
