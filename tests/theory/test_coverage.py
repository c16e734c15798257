"""The band of the theory holds about 95 % of measured networks where it is drawn, and its line is right.

Measured on the digits, 60 networks of width 64 in one run; `python -m tests.theory.test_coverage` prints the table of
docs/theory.md.
"""

import sys
import tempfile
from typing import NamedTuple

import numpy as np
import pytest

from gradlab.analysis.selection import minibatch_rows, pivot
from gradlab.store.read import open_run
from gradlab.theory.coverage import BANDS, BATCH, DEVIATIONS
from gradlab.theory.mlp import predict
from tests.recipes import launch, recipe

NETWORKS, WIDTH = 60, 64
BOUND = 0.90  # of a mean over layers, which of 60 networks with a true coverage of 0.95 falls below 0.90 in 4 of 100


class Coverage(NamedTuple):
    """The share of the networks in the band, mean and least over layers, and their mean decades, as predicted too."""

    share: float
    least: float
    measured: float
    predicted: float


def coverage(activation: str, normalization: str, residual: str, depth: int, outputs: str) -> Coverage:
    """Of log10_backward relative to the last hidden layer, at initialization with He's weights."""
    words = (
        f"activation={activation}",
        "initializer=he",
        f"normalization={normalization}",
        f"residual={residual}",
    )
    sizes = (f"depth={depth}", f"width={WIDTH}", "steps=0", f"seeds={NETWORKS}", f"outputs={outputs}")
    run = open_run(launch(recipe(*words, *sizes, "probe=[forward,backward]", "snapshot=[]")).folder)
    theory = predict({**run.recipe, "batch_size": 128}, run.status["data"])
    _, _, backward = pivot(minibatch_rows(run.layers), "log10_backward")
    relative = (backward - backward[:, [depth]])[:, 1:depth]
    line, half = theory.log10_backward[1:depth], DEVIATIONS * theory.sd[1:depth]
    inside = (np.abs(relative - line) <= half).mean(axis=0)
    return Coverage(float(inside.mean()), float(inside.min()), float(relative[:, 0].mean()), float(line[0]))


@pytest.mark.few(1)
@pytest.mark.parametrize(("activation", "normalization"), sorted(BANDS))
@pytest.mark.parametrize("depth", [20, 60])
def test_a_band_that_is_drawn_holds_95_percent_of_the_networks(activation, normalization, depth, tmp_path):
    found = coverage(activation, normalization, "none", depth, str(tmp_path))
    assert found.share >= BOUND, found
    assert found.predicted == pytest.approx(found.measured, rel=0.1, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "residual"), sorted(BATCH))
@pytest.mark.parametrize("depth", [20, 60])
def test_a_line_that_is_drawn_behind_batch_normalization_is_right(activation, residual, depth, tmp_path):
    found = coverage(activation, "batch", residual, depth, str(tmp_path))
    assert found.predicted == pytest.approx(found.measured, rel=0.1, abs=0.05)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for depth in (20, 60):
            for activation in sys.argv[1:] or sorted({activation for activation, _ in BANDS}):
                for normalization in ("none", "batch", "layer", "rms"):
                    for residual in ("none", "plain", "scaled"):
                        found = coverage(activation, normalization, residual, depth, folder)
                        print(
                            f"| {activation} | {normalization} | {residual} | {depth} | {found.measured:+.2f} | "
                            f"{found.predicted:+.2f} | {found.share:.2f} | {found.least:.2f} |",
                            flush=True,
                        )
