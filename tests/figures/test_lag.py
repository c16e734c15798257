"""Norm against lag: its exponent is that of the data, its bound that of Pascanu et al."""

import numpy as np
import pytest

from gradlab.figures import lag
from tests.figures.frames import legend
from tests.figures.kinds import KINDS, stored


def test_the_exponent_is_the_slope_of_a_straight_line():
    x = np.arange(9.0)
    found = lag.exponent([(x, 1 - 0.3 * x), (x, 3 - 0.3 * x)])
    assert found.slope == pytest.approx(-0.3)
    assert found.start == pytest.approx(2)
    assert lag.exponent([(np.zeros(1), np.zeros(1))]) is None


def test_the_title_says_the_factor_per_time_step(tmp_path):
    figure = lag.run_figure(stored(tmp_path / "run", KINDS["lstm"]), "")
    # kinds.py: 0.1 decades per time step, rising with time
    assert figure.axes[0].get_title("left") == f"Step 0: × {10**-0.1:.3g} per time step"
    assert not any("Pascanu" in words for words in legend(figure))


def test_a_plain_recurrent_layer_has_the_bound_of_its_largest_singular_value(tmp_path):
    run = stored(tmp_path / "run", KINDS["rnn"])
    figure = lag.run_figure(run, "")
    notes = run.notes[
        ((run.notes.measure == "largest_singular_value") & (run.notes.step == 0)).to_numpy(dtype=bool)
    ]
    sigma = float(notes.value.iloc[0])  # max tanh′ = 1
    (bound,) = [line for line in figure.axes[0].get_lines() if line.get_label() == "_bound"]
    first = run.times[((run.times.step == 0) & (run.times.time == 8)).to_numpy()].log10_backward.iloc[0]
    np.testing.assert_allclose(bound.get_ydata(), [first, first + 7 * np.log10(sigma)], rtol=1e-6)
    assert any("Pascanu" in words for words in legend(figure))
