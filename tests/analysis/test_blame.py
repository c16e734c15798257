"""The layer that is named for a broken signal is the one that breaks it: zeros, NaN and infinities put into one layer.

The truth is known because the fault is put there: into the weights, the biases or the input of a real network.
"""

import numpy as np
import pytest

from gradlab.analysis.gain import first_defects
from gradlab.analysis.verdicts import diagnose
from gradlab.measurements.fault import Fault, first_fault, first_nonfinite
from gradlab.store.read import open_run
from gradlab.store.status import read_status
from tests.recipes import launch, tiny

L = 6


def signal(depth, w, x, slope, phi, broken=None, at=None):
    """log10 of the forward and backward norms of a float64 network, in which layer `at` is broken in one pass."""
    with np.errstate(all="ignore"):
        h, hs, zs = x, [x], []
        for l in range(1, depth + 1):
            z = h @ w[l - 1]
            if broken == "forward" and l == at[0]:
                z = z * at[1]
            zs.append(z)
            h = phi(z)
            hs.append(h)
        g, gs = np.ones_like(h), [np.ones_like(h)]
        for l in range(depth, 0, -1):
            g = (g * slope(zs[l - 1])) @ w[l - 1].T
            if broken == "backward" and l == at[0]:
                g = g * at[1]
            gs.append(g)
        norm = lambda values: np.log10([np.linalg.norm(value) for value in values])
        return norm(hs), norm(gs[::-1])


FACTORS = {"zero": 0.0, "infinite": np.inf, "NaN": np.nan}


@pytest.mark.parametrize("layer", range(1, L))
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_the_layer_that_breaks_the_signal_is_named(layer, factor, where, name):
    random = np.random.default_rng(0)
    w = [random.standard_normal((8, 8)) / np.sqrt(4) for _ in range(L)]
    phi, slope = {
        "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    }[name]
    # the pre-activation is scaled, so a tanh of infinity is ±1: a saturated layer, whose slope is zero
    forward, backward = signal(
        L, w, random.standard_normal((5, 8)), slope, phi, where, (layer, FACTORS[factor])
    )
    found = first_fault(forward, backward)
    if (where, factor, name) == ("forward", "zero", "tanh") or where == "backward":
        assert (found.layer, found.where) == (layer, where)
    elif (factor, name) == ("infinite", "tanh"):
        assert (found.layer, found.where, found.log10) == (layer, "backward", -np.inf)
    else:
        assert (found.layer, found.where) == (layer, "forward")


def test_a_whole_signal_an_output_of_zeros_and_a_loss_of_zeros():
    whole = np.zeros(5)
    zero_head = np.array([0.0, 0, 0, 0, -np.inf])
    assert first_fault(whole, whole) is None
    assert first_fault(zero_head, whole) is None
    assert first_fault(whole, np.full(5, -np.inf)) == Fault(4, "loss", -np.inf)
    assert first_nonfinite(whole, np.full(5, -np.inf), whole) == (None, "loss")
    assert first_nonfinite(whole, whole, np.array([0, 0, np.inf, 0, 0])) == (2, "backward")
    assert first_nonfinite(np.array([0, 0, np.nan, np.nan, np.nan]), np.full(5, np.nan), whole) == (
        2,
        "forward",
    )


def test_weights_of_zeros_are_not_dead_units(tmp_path):
    """tanh(0) has slope 1: the units are alive, and nothing passes the weights."""
    found = diagnose(open_run(launch(tiny(tmp_path, "depth=4", "initializer=zeros", "steps=0")).folder))
    assert [(defect.layer, defect.cause) for defect in found.signal_start.defects] == [(0, "zero weights")]
    assert "all weights are zero at layer 0, so no signal passes it" in found.signal_start.sentence


@pytest.mark.slow
def test_units_that_died_in_training_are_named_at_their_layer(tmp_path):
    """A rate of 0.5 for Adam kills relu layers; the layer that is named has no live unit, and those before have."""
    words = (
        "depth=8",
        "activation=relu",
        "initializer=he",
        "optimizer=adam",
        "lr=0.5",
        "clip=norm",
        "steps=50",
    )
    run = open_run(launch(tiny(tmp_path, *words)).folder)
    rows = run.layers[
        ((run.layers.source == "batch") & (run.layers.step == run.layers.step.max())).to_numpy()
    ]
    (defect,) = first_defects(rows)
    dead = rows.sort_values("layer").dead.to_numpy(dtype=float, na_value=0.0)
    assert (defect.kind, defect.where, defect.cause) == ("cut", "forward", "dead units")
    assert dead[defect.layer] == 1.0
    assert (dead[: defect.layer] < 1.0).all()


@pytest.mark.slow
def test_an_overflow_is_named_at_its_layer_in_the_status_too(tmp_path):
    words = ("depth=6", "activation=relu", "initializer=he", "lr=1e30", "steps=4")
    run = open_run(launch(tiny(tmp_path, *words)).folder)
    (entry,) = read_status(run.folder)["nonfinite"]
    at = run.layers[((run.layers.source == "batch") & (run.layers.step == entry["step"])).to_numpy()]
    forward = at.sort_values("layer").log10_forward.to_numpy(dtype=float, na_value=0.0)
    first = int(np.flatnonzero(~np.isfinite(forward) & (forward != -np.inf))[0])
    assert (entry["layer"], entry["where"]) == (first, "forward")
