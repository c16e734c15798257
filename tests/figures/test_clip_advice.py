import numpy as np
import pytest

from gradlab.analysis.clip_advice import advise, recorded_norms
from gradlab.figures.clip_advice import clip_advice
from tests.analysis.test_clip_advice import noise, recorded, spiky
from tests.figures.frames import data, legend, marked, render


def drawn(run, **more):
    return clip_advice(recorded_norms(run), advise(run), **more)


def test_norms_spikes_and_the_recommended_threshold_are_drawn(tmp_path):
    run = recorded(tmp_path / "run", spiky())
    figure = drawn(run)
    left, right = figure.axes
    norm, spikes, advised = left.get_lines()
    assert norm.get_ydata() == pytest.approx(spiky(), abs=1e-5)
    assert spikes.get_xdata().tolist() == list(range(29, 300, 30))
    assert advised.get_ydata()[0] == pytest.approx(np.log10(advise(run).advice.threshold))
    assert right.get_lines()[-1].get_xdata()[0] == advised.get_ydata()[0]
    assert {"norm", "spike", "recommended threshold"} <= set(legend(figure))


def test_the_curves_run_from_all_clipped_to_none(tmp_path):
    clipped, scale = data(drawn(recorded(tmp_path / "run", noise())).axes[1])
    assert (clipped.get_ydata()[0], clipped.get_ydata()[-1]) == (1.0, 0.0)
    assert (np.diff(clipped.get_ydata()) <= 0).all()
    assert (np.diff(scale.get_ydata()) >= 0).all()
    assert scale.get_ydata()[-1] == 1.0


def test_the_threshold_of_the_run_is_drawn(tmp_path):
    clip = {"name": "norm", "threshold": 0.5, "p": 2.0, "where": "gradient"}
    figure = drawn(recorded(tmp_path / "run", noise(), clip=clip))
    assert "threshold of this run" in legend(figure)
    assert "recommended threshold" not in legend(figure)
    assert data(figure.axes[0])[-1].get_ydata()[0] == pytest.approx(np.log10(0.5))


@pytest.mark.few(3)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("middle", [-30.0, 30.0])
def test_any_norm_is_drawn_without_a_warning(tmp_path, value, seeds, middle):
    figure = drawn(
        recorded(tmp_path / "run", [middle, value, middle + 1], seeds=seeds), title="one $ and _two"
    )
    render(figure, tmp_path, "png")
    assert len(marked(figure)[0]) == 1
