"""A run with few columns and the steps at its ends has the results of the whole run."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradlab.analysis.run_results import run_results
from gradlab.analysis.verdict_run import VerdictRun
from gradlab.analysis.verdicts import verdicts_of
from gradlab.store.read import Run, open_run
from tests import runs

GOLDEN = Path(__file__).parents[1] / "store" / "golden"
STEPS = list(range(12))


def stored(folder, backward=None, losses=None, state=None, **changes):
    """A run of two seeds with these profiles (steps, layers) and losses, the same for both."""
    backward = runs.walk(20, len(STEPS)) if backward is None else backward
    losses = np.linspace(2.3, 0.1, len(STEPS)).tolist() if losses is None else losses
    layers = [
        runs.layer_table(backward - seed, STEPS, seed=seed, cosine=np.zeros_like(backward)) for seed in (0, 1)
    ]
    clipped = changes.pop("clipped", [0.0] * len(STEPS))
    steps = [
        runs.step_table(losses, STEPS, seed=seed, clipped=clipped, log10_gradient=[0.0] * len(STEPS))
        for seed in (0, 1)
    ]
    return runs.opened(folder, layers, steps, state, seeds=2, **changes)


def seldom_measured(folder):
    """Two of the steps have a backward signal."""
    run = stored(folder)
    rows = runs.layer_table(runs.walk(20, len(STEPS)), STEPS)
    pairs = zip(rows["step"].to_pylist(), rows["log10_backward"].to_pylist(), strict=True)
    values = pa.array([value if step in (3, 6) else None for step, value in pairs], pa.float32())
    place = rows.column_names.index("log10_backward")
    pq.write_table(rows.set_column(place, "log10_backward", values), folder / "layers" / "all.parquet")
    return open_run(run.folder)


def same_batch(folder):
    """Each step has the same loss although the parameters move."""
    run = stored(folder, losses=[1.0] * len(STEPS), batch_size=0)
    keys = {
        "seed": [0, 1] * 12,
        "step": np.repeat(STEPS, 2).tolist(),
        "source": ["batch"] * 24,
        "layer": [0] * 24,
    }
    keys |= {"name": ["input"] * 24, "parameter": ["w"] * 24, "size": [1] * 24, "log10_update": [0.0] * 24}
    (folder / "parameters").mkdir()
    pq.write_table(runs.table("parameters", keys), folder / "parameters" / "all.parquet")
    return run


def exploded(folder):
    backward = runs.walk(20, len(STEPS), gain=1.5)
    backward[7:] = math.nan
    entry = {"seed": 1, "step": 7, "layer": 3, "name": "hidden 3", "where": "backward"}
    return stored(folder, backward, [2.3] * 7 + [math.nan] * 5, runs.status("diverged", nonfinite=[entry]))


def dropped(folder):
    backward = runs.walk(20, len(STEPS))
    backward[-1] -= np.arange(22)  # the last step is one that the clip dropped
    clipped = [0.0] * (len(STEPS) - 1) + [1.0]
    return stored(folder, backward, clip={"name": "skip", "threshold": 1.0}, clipped=clipped)


CASES = {
    "learned": stored,
    "vanishing": lambda folder: stored(folder, runs.walk(20, len(STEPS), gain=0.5)),
    "cut": lambda folder: stored(folder, np.where(np.arange(22) < 5, -np.inf, runs.walk(20, len(STEPS)))),
    "measured seldom": seldom_measured,
    "non-finite": exploded,
    "the same batch": same_batch,
    "dropped": dropped,
    "golden mlp": lambda _: open_run(GOLDEN / "schema3_mlp"),
    "golden lstm": lambda _: open_run(GOLDEN / "schema3_lstm"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_has_the_results_of_the_whole_run(tmp_path, case):
    run = case(tmp_path / "run")
    narrow = VerdictRun(run.folder, run.recipe, run.status)
    assert repr(asdict(run_results(narrow))) == repr(asdict(run_results(run)))
    assert repr(verdicts_of(narrow)) == repr(verdicts_of(run))
    assert not {"layers", "steps"} & vars(narrow).keys()  # a frame takes longer than the verdict
    assert len(narrow.layers.columns) < len(run.layers.columns)


def test_of_the_layers_it_has_two_steps(tmp_path):
    run = stored(tmp_path / "run")
    assert VerdictRun(run.folder, run.recipe, run.status).layers.step.unique().tolist() == [0, 11]
    assert isinstance(run, Run)
