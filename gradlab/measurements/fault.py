"""Which layer breaks a signal: the one that makes the first zero, NaN or infinity, not one that passes it on."""

from typing import NamedTuple

import numpy as np


class Fault(NamedTuple):
    """The layer (0 the input block, L + 1 the output block) whose pass breaks the signal, and what it makes of it.

    where: `forward`, `backward`, or `loss`, which sends the broken gradient back itself (then the layer is L + 1).
    log10: of the first broken norm: −inf for an exact zero, inf or NaN.
    """

    layer: int
    where: str
    log10: float


def first_fault(forward: np.ndarray, backward: np.ndarray) -> Fault | None:
    """Where a signal first breaks; both profiles are log10 of norms, (layers 0…L+1,). None where it does not.

    The earliest layer whose forward signal is zero or not finite is to blame for all that follows. Only where the
    forward pass is whole, it is the block l that received ∂L/∂h_l whole and made a broken ∂L/∂h_{l−1}. An output of
    zeros, as of a zero head, is no fault.
    """
    forward = np.append(forward[:-1], 0.0 if forward[-1] == -np.inf else forward[-1])
    if (broken := np.flatnonzero(~np.isfinite(forward))).size:
        return Fault(int(broken[0]), "forward", float(forward[broken[0]]))
    if not (broken := np.flatnonzero(~np.isfinite(backward))).size:
        return None
    last = int(broken[-1])
    if last == len(backward) - 1:
        return Fault(last, "loss", float(backward[last]))
    return Fault(last + 1, "backward", float(backward[last]))


def first_nonfinite(
    forward: np.ndarray, backward: np.ndarray, gradient: np.ndarray
) -> tuple[int | None, str]:
    """The layer that makes the first NaN or infinity, and where: `forward`, `backward`, or None and `loss`.

    The three profiles are log10 of norms, (layers,); zeros are no fault here. A layer whose own gradient alone is
    not finite is to blame itself.
    """
    forward, backward, gradient = (np.where(p == -np.inf, 0.0, p) for p in (forward, backward, gradient))
    fault = first_fault(forward, backward)
    if fault is None and (broken := np.flatnonzero(~np.isfinite(gradient))).size:
        return int(broken[-1]), "backward"
    return (None, "loss") if fault is None or fault.where == "loss" else (fault.layer, fault.where)
