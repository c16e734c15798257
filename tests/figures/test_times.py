import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gradlab.figures.times import times
from tests.figures.frames import data, legend, marked, render

T = 12


def frame(layers=1, cell=True, seeds=1, broken=None):
    """Times of a run: three steps, a straight profile for each layer."""
    tables = []
    for seed in range(seeds):
        for step in (0, 50, 100):
            for layer in range(1, layers + 1):
                values = 0.1 * (1 + layer) * np.arange(T) - 0.01 * step
                if broken is not None:
                    values[:3] = broken
                tables.append(
                    pd.DataFrame(
                        {
                            "seed": seed,
                            "step": step,
                            "source": "batch",
                            "layer": layer,
                            "name": f"upper {layer}",
                            "time": np.arange(1, T + 1),
                            "log10_backward": values,
                            "log10_backward_c": values + 1,
                        }
                    )
                )
    rows = pd.concat(tables, ignore_index=True)
    nothing = [None] * len(rows)
    kept = {
        "log10_backward": rows.log10_backward.tolist(),
        "log10_backward_c": rows.log10_backward_c.tolist() if cell else nothing,
    }
    arrow = {
        key: pd.arrays.ArrowExtensionArray(pa.array(value, pa.float32(), from_pandas=False))
        for key, value in kept.items()
    }
    return rows.assign(**arrow)


def test_lines_are_the_norms_against_the_lag():
    hidden, cell, _, _ = times(frame()).axes  # the last is the colours' scale
    line = data(hidden)[0]
    assert line.get_xdata().tolist() == list(range(T))
    np.testing.assert_allclose(line.get_ydata(), 0.2 * np.arange(T)[::-1], rtol=1e-6)
    np.testing.assert_allclose(data(cell)[0].get_ydata(), 1 + 0.2 * np.arange(T)[::-1], rtol=1e-6)


def test_without_a_cell_state_there_is_no_panel_for_it():
    assert len(times(frame(cell=False)).axes) == 3


def test_layers_have_dashes_and_steps_colours():
    figure = times(frame(layers=2))
    assert {"step 0", "step 50", "step 100", "upper 1", "upper 2"} <= set(legend(figure))
    assert len({line.get_linestyle() for line in data(figure.axes[0])}) == 2


def test_of_many_layers_the_first_and_the_last_are_drawn():
    assert {"upper 1", "upper 9"} <= set(legend(times(frame(layers=9))))


@pytest.mark.parametrize(("value", "kind"), [(-np.inf, "zero"), (np.nan, "nan"), (np.inf, "inf")])
def test_what_is_not_finite_is_marked(value, kind):
    assert kind in marked(times(frame(broken=value)))[0]


@pytest.mark.few(1)
@pytest.mark.parametrize("seeds", [1, 5])
def test_it_is_drawn_without_a_warning(tmp_path, seeds):
    render(times(frame(layers=2, seeds=seeds), "one $ and _two"), tmp_path, "png")
