"""The squared factor by which the backward signal changes over a block, for infinite width."""

import numpy as np

from gradlab.theory.forward import ForwardSignal, Network
from gradlab.theory.kernel import Moments, sampled
from gradlab.theory.normalization import batch_after


def log_branch(network: Network, forward: ForwardSignal, moments: Moments) -> np.ndarray:
    """ln β per block, shape (L + 1,): the squared norm of Wᵀ·N′·D·g over that of g, N′ the norm's derivative.

    β = σ_w²·E φ′²/(1 − p), over the norm's variance where there is one; batch norm by `normalization`.
    The residual block's factor is 1 + α²β: the branch's weights are fresh, so the cross term has mean zero.
    """
    plain = np.log(network.weight) - forward.log_scale
    if network.norm == "batch":
        if network.norm_place == "before":
            trace = np.array([stats.own / network.keep_rate + stats.cross for stats in forward.batches])
            return np.asarray(plain + np.log(trace))
        trace = sampled(network.act, forward.log_q, lambda sample: batch_after(sample, network.batch))
        kept_share = forward.log_f + np.log(network.keep_rate)  # v/(v + ε)
        return np.asarray(np.log(network.weight / network.keep_rate) + np.log(trace) + kept_share)
    return np.asarray(plain + moments.log_slope2 - np.log(network.keep_rate))


def log_factor(network: Network, log_beta: np.ndarray) -> np.ndarray:
    """ln of each block's squared backward factor: β, or 1 + α²β with a residual; shape (L + 1,) as ln β."""
    if not network.branch:
        return log_beta
    factor: np.ndarray = np.logaddexp(0, log_beta + 2 * np.log(network.branch))
    return factor
