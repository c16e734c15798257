"""How the backward signal changes over a block: the squared factor, and what finite width makes of it."""

import numpy as np

from gradlab.theory.forward import Forward, Network
from gradlab.theory.kernel import Moments, sampled
from gradlab.theory.normalization import batch_after


def log_branch(the: Network, walk: Forward, found: Moments) -> np.ndarray:
    """ln β per block: the squared norm of Wᵀ·N′·D·g over that of g, N′ the norm's derivative.

    β = σ_w²·E φ′²/(1 − p), over the norm's variance where there is one; batch norm by `normalization`.
    The residual block's factor is 1 + α²β: the branch's weights are fresh, so the cross term has mean zero.
    """
    plain = np.log(the.weight) - walk.log_scale
    if the.norm == "batch":
        if the.place == "before":
            trace = np.array([stats.own / the.kept + stats.cross for stats in walk.batches])
            return np.asarray(plain + np.log(trace))
        trace = sampled(the.act, walk.log_q, lambda sample: batch_after(sample, the.batch))
        kept_share = walk.log_f + np.log(the.kept)  # v/(v + ε)
        return np.asarray(np.log(the.weight / the.kept) + np.log(trace) + kept_share)
    return np.asarray(plain + found.log_slope2 - np.log(the.kept))


def log_factor(the: Network, log_beta: np.ndarray) -> np.ndarray:
    """ln of the block's squared backward factor: β, or 1 + α²β with a residual."""
    return np.logaddexp(0, log_beta + 2 * np.log(the.branch)) if the.branch else log_beta
