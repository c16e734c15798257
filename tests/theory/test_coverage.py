"""The band of the theory holds about 95 % of measured networks where it is drawn, and its line is right.

Measured on the digits, 60 networks of width 64 in one run. `python -m tests.theory.test_coverage [FOLDER]` measures
every kind of network, prints the table of docs/theory.md and what `BANDS` has to be; FOLDER keeps the runs.
"""

import itertools
import sys
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from gradlab.analysis.selection import minibatch_rows, pivot
from gradlab.recipe.recipe import plain
from gradlab.store.read import open_run
from gradlab.theory.coverage import BANDS, BATCH, DEVIATIONS, has_band
from gradlab.theory.mlp import Prediction, predict
from tests.recipes import launch, recipe

NETWORKS, WIDTH, DEPTHS = 60, 64, (20, 60)
BOUND = 0.90  # of a mean over layers, which of 60 networks with a true coverage of 0.95 falls below 0.90 in 3 of 100
ACTIVATIONS = "linear tanh erf softsign sigmoid relu leaky_relu elu selu gelu silu mish softplus".split()
KINDS = [
    ("independent", *pair)
    for pair in itertools.product(("none", "layer", "rms"), ("none", "plain", "scaled"))
]
ORTHOGONAL = ("orthogonal", "none", "none")
Kind = tuple[str, str, str]  # weights, normalization, residual


class Coverage(NamedTuple):
    """The share of the networks in the band, mean and least over layers, and their mean decades, as predicted too."""

    share: float
    least: float
    measured: float
    predicted: float

    @property
    def line_is_right(self) -> bool:
        """Whether the decades are within a tenth."""
        return abs(self.predicted - self.measured) <= max(0.1 * abs(self.measured), 0.05)


def coverage(activation: str, kind: Kind, depth: int, outputs: str) -> Coverage:
    """Of log10_backward relative to the last hidden layer, at initialization with He's weights or orthogonal ones."""
    weights, normalization, residual = kind
    words = (
        f"activation={activation}",
        f"initializer={'orthogonal' if weights == 'orthogonal' else 'he'}",
        f"normalization={normalization}",
        f"residual={residual}",
    )
    sizes = (f"depth={depth}", f"width={WIDTH}", "steps=0", f"seeds={NETWORKS}", f"outputs={outputs}")
    run = open_run(launch(recipe(*words, *sizes, "probe=[forward,backward]", "snapshot=[]")).folder)
    theory = predict({**run.recipe, "batch_size": 128}, run.status["data"])
    assert isinstance(theory, Prediction)
    _, _, backward = pivot(minibatch_rows(run.layers), "log10_backward")
    relative = (backward - backward[:, [depth]])[:, 1:depth]
    line, half = theory.log10_backward[1:depth], DEVIATIONS * theory.sd[1:depth]
    inside = (np.abs(relative - line) <= half).mean(axis=0)
    share = 0.0 if theory.is_rough else float(inside.mean())
    return Coverage(share, float(inside.min()), float(relative[:, 0].mean()), float(line[0]))


def held() -> list[tuple[str, Kind, int]]:
    """An activation of each kind of network that has a band, at both depths; first relu in residual blocks."""
    cells = [(max(names, key=lambda name: (name == "relu", name)), kind) for kind, names in BANDS.items()]
    cells.sort(key=lambda cell: cell != ("relu", ("independent", "none", "plain")))
    return [(activation, kind, depth) for activation, kind in cells for depth in DEPTHS]


@pytest.mark.few(1)
@pytest.mark.parametrize(("activation", "kind", "depth"), held(), ids=str)
def test_a_band_that_is_drawn_holds_95_percent_of_the_networks(activation, kind, depth, tmp_path):
    found = coverage(activation, kind, depth, str(tmp_path))
    assert found.share >= BOUND, found
    assert found.line_is_right, found


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "residual"), sorted(BATCH))
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_line_that_is_drawn_behind_batch_normalization_is_right(activation, residual, depth, tmp_path):
    found = coverage(activation, ("independent", "batch", residual), depth, str(tmp_path))
    assert found.line_is_right, found


def test_there_is_no_band_where_none_was_measured():
    words = ("initializer=he", "activation=relu", "residual=plain", "depth=20")
    assert has_band(plain(recipe(*words)))
    for change in (
        "initializer=orthogonal",
        "normalization=batch",
        "residual=layer_scale",
        "depth=65",
        "dropout=0.1",
    ):
        assert not has_band(plain(recipe(*words, change))), change


def rows(outputs: str) -> Iterator[tuple[Kind, dict[str, list[Coverage]]]]:
    """Of each kind the coverage by activation, at the first depth, and at the others where it holds at those before."""
    for kind in [*KINDS, ORTHOGONAL]:
        found: dict[str, list[Coverage]] = {}
        for activation in ACTIVATIONS:
            found[activation] = []
            for depth in DEPTHS:
                if all(holds(measured) for measured in found[activation]):
                    found[activation].append(coverage(activation, kind, depth, outputs))
        yield kind, found


def holds(found: Coverage) -> bool:
    """Whether the band may be drawn."""
    return found.share >= BOUND and found.line_is_right


def main(outputs: str) -> None:
    """Print the table of docs/theory.md, and the activations of `BANDS`."""
    print(f"| weights, normalization, residual | {' | '.join(ACTIVATIONS)} |")
    print("|---" * (len(ACTIVATIONS) + 1) + "|")
    bands = []
    for kind, found in rows(outputs):
        drawn = [name for name, measured in found.items() if all(map(holds, measured))]
        shares = {name: ", ".join(f"{100 * each.share:.0f}" for each in found[name]) for name in found}
        shares = {name: "–" if text == "0" else text for name, text in shares.items()}  # nothing is shown
        cells = [f"**{text}**" if name in drawn else text for name, text in shares.items()]
        print(f"| {', '.join(kind)} | {' | '.join(cells)} |", flush=True)
        if drawn:
            bands.append(f'    {kind}: frozenset("{" ".join(sorted(drawn))}".split()),'.replace("'", '"'))
    print("\n".join(bands))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else folder)
