"""Runs that an older version stored are read, judged and drawn as they are: `golden/` has files of each schema."""

from dataclasses import replace
from pathlib import Path

import pytest

from gradlab import load
from gradlab.analysis.sentences import of_diagnosis
from gradlab.analysis.verdicts import diagnose
from gradlab.report.pictures import default_names, draw
from gradlab.store.gather import choices
from gradlab.store.read import open_run

GOLDEN = Path(__file__).parent / "golden"
# sums of a column over the rows of a table, as version 0.3.0 read them
SUMS = {
    "schema3_mlp": {
        ("layers", "log10_backward"): -17.391557,
        ("layers", "saturated"): 0.494792,
        ("layers", "zeros"): 144,
        ("parameters", "log10_weight"): -86.538551,
        ("steps", "loss"): 37.181061,
        ("steps", "test_accuracy"): 0.612813,
    },
    "schema3_lstm": {
        ("layers", "log10_forward"): -9.394593,
        ("parameters", "log10_update"): -21.927921,
        ("steps", "loss"): 3.879322,
        ("times", "log10_backward_c"): -421.616562,
        ("notes", "value"): 19.675389,
    },
}


@pytest.mark.parametrize("name", SUMS)
def test_its_tables_are_what_they_were(name):
    for (table, column), total in SUMS[name].items():
        values = load(GOLDEN / name, table)[column].astype(float)
        finite = values[abs(values) < float("inf")]
        assert finite.sum() == pytest.approx(total, abs=1e-5), (table, column)


def test_its_verdicts_are_what_they_were():
    lines = dict(of_diagnosis(diagnose(open_run(GOLDEN / "schema3_mlp"))))
    assert lines["signal"].startswith(
        "flowing: −0.1 decades from layer 2 back to layer 1, gain 0.83 per layer"
    )
    assert lines["training"].startswith("stalled in 2 of 2 seeds: loss 2.36 → 2.30 (chance loss 2.30)")


@pytest.mark.parametrize("name", SUMS)
def test_it_is_drawn(name, tmp_path):
    run = open_run(GOLDEN / name)
    assert ("times" in default_names(run)) == name.endswith("lstm")
    assert all(path.stat().st_size > 5000 for path in draw(run, folder=tmp_path))


def test_its_files_do_not_say_what_a_column_means():
    assert open_run(GOLDEN / "schema3_mlp").meanings("layers")["log10_backward"] == ("", "")


def test_what_came_later_is_no_difference_to_it():
    old = open_run(GOLDEN / "schema3_mlp")
    spectrum = {"recurrent_spectrum": {"name": "recurrent_spectrum"}}
    new = replace(old, recipe=old.recipe | {"snapshots": spectrum, "lr": 0.2})
    assert list(choices([old, new])) == ["lr"]
    mine = replace(new, recipe=new.recipe | {"snapshots": {"mine": {"name": "a:b"}}})
    assert list(choices([old, mine])) == ["lr", "snapshots.mine"]
