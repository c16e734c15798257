"""What a probe may see, and the family of the probes. A probe asks one question, inside the compiled step."""

from collections.abc import Callable
from typing import NamedTuple

from jax import Array

from gradlab.models.chain import Backward, Signal, Tree
from gradlab.numerics import Norms
from gradlab.parts.family import Family

probe = Family("probe")
Columns = dict[str, Array]
PerParameter = dict[str, dict[str, Array]]  # column -> parameter -> one value a layer


class Moment(NamedTuple):
    """One update: what a parameter probe sees. Trees are by path; a stack's leaves keep their layer axis."""

    params: Tree
    grads: Tree  # of the data loss, before penalty and clip
    norms: Norms  # of `grads`, as float32 holds them
    true_norms: Tree  # log2 of the same norms, beyond float32's range
    direction: Tree  # Δθ = −rate·direction
    rate: Array
    lead: dict[str, int]


class Probe(NamedTuple):
    """The columns a probe fills, and how: one of the three questions is there.

    signal: asked of every block's output, inside the forward pass; `active` ones only where there is an activation.
    backward: asked of the taps' record, one value a layer.
    moment: asked of the update, one value a parameter and layer.
    """

    columns: tuple[str, ...]
    signal: Callable[[Signal], Columns] | None = None
    backward: Callable[[Backward], Columns] | None = None
    moment: Callable[[Moment], PerParameter] | None = None
    active: bool = False
