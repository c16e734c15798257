"""How large is the gradient at each layer's pre-activation, the curve that the literature plots?"""

from gradlab.measure.probe import Columns, Probe, probe
from gradlab.nn.chain import BackwardNorms
from gradlab.numerics.norms import LOG10_2


@probe
def preactivation() -> Probe:
    """log10 of √B·‖∂(mean loss)/∂z‖_F at the activation's input."""

    def ask(seen: BackwardNorms) -> Columns:
        return {"log10_backward_z": LOG10_2 * (seen.preactivation + seen.half_log2_batch)}

    return Probe(("log10_backward_z",), backward=ask, active=True)
