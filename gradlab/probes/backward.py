"""How large is the gradient that reaches each layer's output? The curve that vanishes or explodes."""

from gradlab.models.chain import Backward
from gradlab.numerics import LOG10_2
from gradlab.probes.family import Columns, Probe, probe


@probe
def backward() -> Probe:
    """log10 of √B·‖∂(mean loss)/∂h‖_F: RMS over examples of the norm of each example's gradient."""

    def ask(seen: Backward) -> Columns:
        return {"log10_backward": LOG10_2 * (seen.signal + seen.half_log2_batch)}

    return Probe(("log10_backward",), backward=ask)
