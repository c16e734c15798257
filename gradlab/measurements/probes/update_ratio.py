"""How large is the update of each layer beside its weights?"""

from gradlab.measurements.by_layer import of_kernels
from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.norms import LOG10_2, log2_norms


@probe
def update_ratio() -> Probe:
    """log10 of ‖ΔW‖/‖W‖ over the kernels of a layer together; ordinary training has about 1e-3.

    ΔW is the update that follows the row. inf where W is exactly zero and ΔW is not; null where both are.
    """

    def ask(update: UpdateSignal) -> UpdateColumns:
        moved = of_kernels(update, log2_norms(update.direction, update.stacked_axes).leaves)
        weight = of_kernels(update, log2_norms(update.params, update.stacked_axes).leaves)
        return {"log10_update_ratio": LOG10_2 * (moved + update.log2_step_size - weight)}

    column = Column(
        "log10_update_ratio",
        "log10 of ‖ΔW‖/‖W‖ of the layer's kernels together",
        unit="log10",
        needs_update=True,
        nan_is_null=True,
    )
    return Probe((column,), update=ask)
