import numpy as np
import pytest

from gradlab.analysis.lr_range import range_test as analyse
from gradlab.figures.lr_range import MARKED, lr_range
from tests.analysis.test_lr_range import RATES, frame, valley
from tests.figures.frames import legend, marked, render


def drawn(folder, *losses):
    steps = frame(folder, *losses)
    result = analyse(steps)
    return lr_range(steps, result, "one $ and _two"), result


def test_each_seed_s_losses_are_drawn_and_the_marks_are_where_the_analysis_has_them(tmp_path):
    figure, result = drawn(tmp_path / "run", valley(), valley(seed=1))
    (panel,) = figure.axes
    lines = panel.get_lines()
    assert panel.get_xscale() == "log"
    np.testing.assert_allclose(lines[0].get_xdata(), RATES)
    assert lines[0].get_ydata() == pytest.approx(valley(), rel=1e-6)
    smooth = [line for line in lines if line.get_label() == "smoothed"]
    assert [line.get_ydata().tolist() for line in smooth] == [seed.smoothed for seed in result.seeds]
    for key in MARKED:
        (line,) = [line for line in lines if line.get_label() == f"_{key}"]
        assert line.get_xdata()[0] == getattr(result, key)
    assert "smoothed, 2 seeds" in legend(figure)
    assert any(words.startswith("recommended (") for words in legend(figure))


def test_a_loss_that_is_not_finite_is_marked_and_does_not_flatten_the_rest(tmp_path):
    losses = valley()[:190]
    losses[170:188], losses[188:] = 1e20, np.nan
    figure, _ = drawn(tmp_path / "run", losses)
    assert marked(figure) == [{"nan"}]
    assert figure.axes[0].get_ylim()[1] < 5


def test_noise_without_a_fall_is_stated_and_does_not_fill_the_panel(tmp_path):
    losses = 2.4 + 0.03 * np.random.default_rng(0).standard_normal(200)
    figure, _ = drawn(tmp_path / "run", losses)
    assert (
        figure.axes[0].get_title(loc="left") == "Learning rate range test: no learning rate lowers the loss"
    )
    low, high = figure.axes[0].get_ylim()
    assert high - low > 0.9
    assert "begins" not in " ".join(legend(figure))


@pytest.mark.few(1)
@pytest.mark.parametrize("seeds", [1, 5])
def test_it_is_drawn_without_a_warning(tmp_path, seeds):
    figure, _ = drawn(tmp_path / "run", *(valley(seed=i) for i in range(seeds)))
    render(figure, tmp_path, "png")
