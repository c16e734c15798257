"""How large is the gradient at each layer's pre-activation, the curve that the literature plots?"""

from gradlab.models.chain import Backward
from gradlab.numerics import LOG10_2
from gradlab.probes.family import Columns, Probe, probe


@probe
def preactivation() -> Probe:
    """log10 of √B·‖∂(mean loss)/∂z‖_F at the activation's input."""

    def ask(seen: Backward) -> Columns:
        return {"log10_backward_z": LOG10_2 * (seen.inner + seen.half_log2_batch)}

    return Probe(("log10_backward_z",), backward=ask, active=True)
