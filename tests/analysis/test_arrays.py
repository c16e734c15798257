"""Rows as arrays say what the frame of the same rows says, and choose the same of them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gradlab.analysis.gain import backward_gain
from gradlab.analysis.selection import (
    defined_backward,
    is_measured,
    minibatch_rows,
    rows_from_arrow,
    rows_of,
    rows_with,
    to_float64,
)
from gradlab.analysis.signal import SignalContext, signal_verdict
from gradlab.store.minibatches import Selection
from gradlab.store.read import frames, open_run, sorted_rows
from tests import runs

VALUES = [0.5, None, float("nan"), float("-inf"), 2.0, None]


def steps_table():
    sources = ["batch", "batch", "batch", "probe", "batch", "probe"]
    return runs.step_table(VALUES, [3, 1, 2, 0, 5, 4], train_loss=[None, *VALUES[:-1]], source=sources)


def frame_of(table):
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def test_null_is_not_measured_and_nan_is():
    rows = rows_from_arrow(steps_table())
    assert rows.measured["loss"].tolist() == [value is not None for value in VALUES]
    expected = [np.nan if value is None else value for value in VALUES]
    np.testing.assert_array_equal(rows["loss"], expected)
    assert (rows["loss"].dtype, rows["step"].dtype) == (np.float64, np.int64)


def test_both_ways_give_the_same_arrays():
    arrow, frame = rows_from_arrow(steps_table()), rows_of(frame_of(steps_table()))
    assert arrow.arrays.keys() == frame.arrays.keys()
    assert arrow.measured.keys() == frame.measured.keys()
    for name in arrow.arrays:
        np.testing.assert_array_equal(arrow[name], frame[name])
        assert arrow[name].dtype == frame[name].dtype
    for name in arrow.measured:
        assert arrow.measured[name].tolist() == frame.measured[name].tolist()


def test_the_chosen_rows_are_those_of_the_frame():
    frame = frame_of(steps_table())
    chosen = rows_from_arrow(steps_table()).of_minibatches().having("loss").sorted_by("step")
    expected = rows_with(minibatch_rows(frame), "loss").sort_values("step")
    assert chosen["step"].tolist() == expected.step.tolist() == [2, 3, 5]
    np.testing.assert_array_equal(chosen["train_loss"], to_float64(expected.train_loss))
    assert chosen.having("loss", "train_loss")["step"].tolist() == [5]


def test_of_a_frame_only_the_named_columns_are_converted():
    rows = rows_of(frame_of(steps_table()), ("loss", "of_another_table"))
    assert set(rows.arrays) == {"seed", "step", "source", "loss"}
    assert "train_loss" not in rows


def test_a_gradient_behind_an_overflow_is_undefined_in_arrays_as_in_a_frame():
    forward, backward = np.zeros((2, 5)), np.arange(10.0).reshape(2, 5)
    forward[1, 3] = np.inf
    table = runs.layer_table(backward, [0, 1], log10_forward=forward.ravel().tolist())
    frame = defined_backward(frame_of(table))
    found = defined_backward(rows_from_arrow(table))
    np.testing.assert_array_equal(found["log10_backward"], to_float64(frame.log10_backward))
    assert np.isnan(found["log10_backward"]).tolist() == [False] * 5 + [True] * 5
    assert found.measured["log10_backward"].tolist() == is_measured(frame.log10_backward).tolist()


def test_verdict_and_gain_of_arrays_are_those_of_a_frame():
    table = runs.layer_table(runs.walk(20, 1, gain=0.5), [0], cosine=np.zeros((1, 22)).ravel().tolist())
    frame = frame_of(table)
    assert repr(backward_gain(rows_of(frame))) == repr(backward_gain(frame))
    assert repr(signal_verdict(rows_of(frame), SignalContext())) == repr(
        signal_verdict(frame, SignalContext())
    )


@pytest.mark.parametrize("columns", [(), ("loss",)])
def test_stored_rows_have_the_order_of_their_keys(tmp_path, columns):
    table = runs.step_table([float(step) for step in range(8)], list(range(8)))
    shuffled = table.take(pa.array([3, 0, 7, 1, 6, 2, 5, 4]))
    layers = runs.layer_table(runs.walk(3, 8), list(range(8)))
    opened = runs.opened(tmp_path / "run", [layers], [shuffled])
    selection = Selection(columns) if columns else None
    rows, origin = sorted_rows("steps", [opened, open_run(opened.folder)], selection)
    assert rows["loss"].to_pylist() == [float(step) for step in range(8)] * 2
    assert origin.tolist() == [0] * 8 + [1] * 8
    assert frames("steps", [opened], selection)[0].step.tolist() == list(range(8))
