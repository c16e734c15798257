"""How large is the gradient that reaches each layer's output? The curve that vanishes or explodes."""

from gradlab.measure.probe import Columns, Probe, probe
from gradlab.nn.chain import BackwardNorms
from gradlab.numerics.norms import LOG10_2


@probe
def backward() -> Probe:
    """log10 of √B·‖∂(mean loss)/∂h‖_F: RMS over examples of the norm of each example's gradient."""

    def ask(seen: BackwardNorms) -> Columns:
        return {"log10_backward": LOG10_2 * (seen.signal + seen.half_log2_batch)}

    return Probe(("log10_backward",), backward=ask)
