"""Causes that probes make known: the edge of stability, and noise; each with runs of which it must not be said."""

from types import SimpleNamespace

import pandas as pd
import pytest

from gradlab.analysis.curvature import at_the_edge
from gradlab.analysis.noise import dominating, reasons
from gradlab.analysis.sentences import of_cause

STEPS = range(0, 101, 5)


def run(columns, batch_size=0, foreign=False, steps_done=100):
    frame = pd.DataFrame({"step": list(STEPS), "seed": 0} | columns).convert_dtypes(dtype_backend="pyarrow")
    recipe = {"batch_size": batch_size}
    return SimpleNamespace(steps=frame, recipe=recipe, is_foreign=foreign, status={"steps_done": steps_done})


def sharp(ratio=1.0, limit=2.0, preconditioned=None):
    given = {"sharpness": [ratio * limit] * len(STEPS), "stability_limit": [limit] * len(STEPS)}
    return given | {"preconditioned_sharpness": [preconditioned] * len(STEPS)}


@pytest.mark.parametrize("ratio", [0.96, 1.0, 1.09])
def test_a_run_at_the_edge_is_told(ratio):
    (finding,) = at_the_edge(run(sharp(ratio)))
    assert f"stays at {ratio:.2f} of what the learning rate allows, over steps 80–100" in of_cause(finding)


@pytest.mark.parametrize(
    "given",
    [
        run(sharp(0.9)),  # below
        run(sharp(1.2)),  # above: it will diverge
        run(sharp(float("nan"))),
        run(sharp(), batch_size=32),  # noise keeps minibatches below
        run(sharp(preconditioned=3.0)),
        run(sharp(), foreign=True),
        run(sharp(), steps_done=1000),  # no measurement in the last quarter
        run({"loss": [1.0] * len(STEPS)}),
    ],
)
def test_others_are_not(given):
    assert at_the_edge(given) == []


def noisy(scale, error=1.0, undefined=0):
    count = len(STEPS)
    return {
        "noise_scale": [scale] * count,
        "noise_scale_error": [error] * count,
        "noise_undefined": [undefined] * count,
    }


def test_a_noise_scale_far_above_the_batch_is_told():
    (finding,) = dominating(run(noisy(500.0), batch_size=32))
    assert "at step 100: its noise scale is 500 examples, the batch has 32" in of_cause(finding)


@pytest.mark.parametrize(
    "given",
    [
        run(noisy(100.0), batch_size=32),
        run(noisy(500.0, error=200.0), batch_size=32),  # within two standard errors
        run(noisy(None, None, 2), batch_size=32),
        run(noisy(500.0), batch_size=0),  # the whole set has no noise
        run(noisy(500.0), batch_size=32, foreign=True),
        run({"loss": [1.0] * len(STEPS)}, batch_size=32),
    ],
)
def test_other_gradients_are_not_called_noise(given):
    assert dominating(given) == []


def test_the_reasons_are_counted():
    frame = run(noisy(None, None, 2)).steps
    (text,) = reasons(frame)
    assert text.endswith("(21 of 21 times)")
    assert reasons(frame.drop(columns="noise_undefined")) == []
