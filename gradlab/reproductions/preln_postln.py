"""Transformers at initialization: how the gradient of the last feed-forward kernel depends on the number of blocks."""

import math
from typing import TYPE_CHECKING

import numpy as np

from gradlab.reproductions.check import Check, Study, near

if TYPE_CHECKING:
    from gradlab.report.result import RunResult

CLAIM = (
    "At initialization the gradient of the last feed-forward kernel is independent of the depth L with the "
    "normalization after the residual sum (Post-LN), and falls as 1/√L with the normalization inside the "
    "branch (Pre-LN)."
)
SOURCE = "Xiong et al. 2020, ICML (theorem 1, figure 3)"

DEPTHS = (4, 64)
NETWORK = (
    "model=transformer",
    f"depth={','.join(map(str, DEPTHS))}",
    "width=64",
    "activation=relu",
    "data=sequential_digits",
    "model.kind=encoder",
    "batch_size=16",
    "steps=0",
    "seeds=4",
    "probe=[gradient]",
)
KERNEL = "feedforward/down/kernel"
MARGIN = 0.12


def measure(study: Study) -> list[Check]:
    """The exponent of L between 4 and 64 blocks for both orders: of ‖∂L/∂W‖, the mean of ln over four seeds."""
    return [
        near("Pre-LN: exponent of L", -0.5, _exponent(study.run(*NETWORK, "model.order=pre")), absolute=MARGIN),
        near("Post-LN: exponent of L", 0.0, _exponent(study.run(*NETWORK, "model.order=post")), absolute=MARGIN),
    ]  # fmt: skip


def _exponent(runs: "list[RunResult]") -> float:
    norms = [_log_norm(run, depth) for run, depth in zip(runs, DEPTHS, strict=True)]
    return float(np.polynomial.polynomial.polyfit(np.log(DEPTHS), norms, 1)[1])


def _log_norm(run: "RunResult", block: int) -> float:
    """ln of the gradient norm of the kernel in this block, the mean over seeds."""
    rows = run.parameters
    rows = rows[(rows["source"] == "batch") & (rows["layer"] == block) & (rows["parameter"] == KERNEL)]
    return float(np.mean(rows["log10_gradient"].to_numpy(dtype=np.float64, na_value=np.nan))) * math.log(10)
