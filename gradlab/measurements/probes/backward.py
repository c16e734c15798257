"""How large is the loss gradient at each layer's output? This is the curve that vanishes or explodes."""

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BackwardNorms, Columns, Probe, probe
from gradlab.numerics.norms import LOG10_2


@probe
def backward() -> Probe:
    """log10 of √B·‖∂(mean loss)/∂h‖_F, (layers,): RMS over examples of each example's gradient norm."""

    def ask(norms: BackwardNorms) -> Columns:
        return {"log10_backward": LOG10_2 * (norms.signal + norms.log2_sqrt_terms)}

    return Probe(
        (
            Column(
                "log10_backward",
                "log10 of √B·‖∂(mean loss)/∂h_l‖_F: RMS over the B loss terms of the gradient norm",
                unit="log10",
            ),
        ),
        backward=ask,
    )
