"""How large is each parameter?"""

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.norms import LOG10_2, log2_norms


@probe
def weight() -> Probe:
    """log10 of ‖θ‖, one value per layer of each parameter."""

    def ask(update: UpdateSignal) -> UpdateColumns:
        norms = log2_norms(update.params, update.stacked_axes).leaves
        return {"log10_weight": {path: LOG10_2 * value for path, value in norms.items()}}

    return Probe(
        (Column("log10_weight", "log10 of ‖θ‖", unit="log10", kind="parameter", over_kernels="norm"),),
        update=ask,
    )
