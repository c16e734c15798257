"""How large is the loss gradient at each layer's pre-activation? Much of the literature plots this curve."""

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BackwardNorms, Columns, Probe, probe
from gradlab.numerics.norms import LOG10_2


@probe
def preactivation() -> Probe:
    """log10 of √B·‖∂(mean loss)/∂z‖_F, (layers,); z is the activation's input."""

    def ask(norms: BackwardNorms) -> Columns:
        return {"log10_backward_z": LOG10_2 * (norms.preactivation + norms.log2_sqrt_terms)}

    return Probe(
        (
            Column(
                "log10_backward_z",
                "log10_backward at the block's pre-activation, the input of its activation",
                unit="log10",
            ),
        ),
        backward=ask,
        active=True,
    )
