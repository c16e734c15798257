import numpy as np
import pytest

from gradlab.figures.comparison import comparison
from gradlab.store.gather import gather
from gradlab.store.read import collect
from tests import runs
from tests.figures.frames import data, legend, render


def study(folder, by, **changes):
    """The layers and steps of runs that differ as `changes` says: a list of values for each key."""
    for i, values in enumerate(zip(*changes.values(), strict=True)):
        runs.simple(folder / f"run{i}", **dict(zip(changes, values, strict=True)))
    stored = collect(folder)
    return gather(stored, "layers", [by]), gather(stored, "steps", [by])


def test_lines_are_the_frames_numbers_in_the_order_of_the_choice(tmp_path):
    layers, steps = study(tmp_path, "depth", depth=[20, 5, 9])
    figure = comparison(layers, steps, "depth")
    for line, depth in zip(data(figure.axes[0]), (5, 9, 20), strict=True):
        rows = layers[(layers.depth == depth) & (layers.step == 0)]
        assert line.get_ydata().tolist() == rows.log10_backward.tolist()
    assert data(figure.axes[2])[0].get_ydata().tolist() == steps[steps.depth == 5].train_loss.tolist()
    assert legend(figure) == ["5", "9", "20"]
    assert figure.legends[0].get_title().get_text() == "depth"


def test_runs_of_one_value_share_its_colour_and_differ_in_dashes(tmp_path):
    tanh, relu = {"name": "tanh"}, {"name": "relu"}
    layers, steps = study(tmp_path, "activation", depth=[5, 9, 5], activation=[tanh, tanh, relu])
    figure = comparison(layers, steps, "activation")
    lines = data(figure.axes[0])
    assert len({line.get_color() for line in lines}) == 2
    assert [line.get_linestyle() for line in lines] == ["-", "--", "--"]  # the second word begins dashed
    assert legend(figure) == ["tanh (2 runs)", "relu"]


def test_five_seeds_are_a_band_and_four_are_lines(tmp_path):
    layers, steps = study(tmp_path, "depth", depth=[5, 9], seeds=[5, 4])
    figure = comparison(layers, steps, "depth")
    assert len(data(figure.axes[0])) == 5
    assert len(figure.axes[0].collections) == 1
    assert legend(figure)[:2] == ["5 (5 seeds)", "9 (4 seeds)"]


def test_nonfinite_seeds_are_counted_and_marked(tmp_path):
    broken = runs.walk(20, 2)
    broken[1, :3] = np.nan
    layers = [runs.layer_table(runs.walk(20, 2), [0, 100]), runs.layer_table(broken, [0, 50], seed=1)]
    losses = [runs.step_table([2.3, 0.1], [0, 100]), runs.step_table([2.3, np.inf], [0, 50], seed=1)]
    runs.opened(tmp_path / "a", layers, losses, seeds=2)
    runs.simple(tmp_path / "b", depth=9)
    stored = collect(tmp_path)
    figure = comparison(gather(stored), gather(stored, "steps"), "depth")
    assert legend(figure)[:2] == ["9", "20 (2 seeds, 1 of 2 non-finite)"]
    assert {"NaN", "infinite"} <= set(legend(figure))


def test_a_missing_number_is_a_group_of_its_own(tmp_path):
    clips = [{"name": "none"}, {"name": "norm", "threshold": 0.5}]
    layers, steps = study(tmp_path, "clip.threshold", clip=clips)
    assert legend(comparison(layers, steps, "clip.threshold")) == ["0.5", "none"]


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["a $ and $ b", "_hidden", "$", r"\alpha"])
def test_any_name_is_drawn_as_it_is(tmp_path, name):
    layers, steps = study(tmp_path, "initializer", initializer=[{"name": name}, {"name": "he"}])
    figure = comparison(layers, steps, "initializer", title=name)
    render(figure, tmp_path)
    assert len(legend(figure)) == 2


def test_more_values_than_colours_differ_in_dashes(tmp_path):
    names = [{"name": f"x{i}"} for i in range(10)]
    layers, steps = study(tmp_path, "initializer", depth=[2] * 10, initializer=names)
    lines = data(comparison(layers, steps, "initializer").axes[0])
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 10


def test_a_diverged_loss_does_not_flatten_the_others(tmp_path):
    tables = {"a": [2.3, 0.1], "b": [1e12, 1e13]}
    for depth, (name, losses) in enumerate(tables.items(), 5):
        steps = runs.step_table(losses, [0, 100], train_loss=losses)
        runs.opened(tmp_path / name, [runs.layer_table(runs.walk(5, 2), [0, 100])], [steps], depth=depth)
    stored = collect(tmp_path)
    figure = comparison(gather(stored), gather(stored, "steps"), "depth")
    assert figure.axes[2].get_ylim()[1] < 10
    assert "above the axis range" in legend(figure)
    (marks,) = [line for line in figure.axes[2].get_lines() if line.get_label() == "_above"]
    assert marks.get_xdata().tolist() == [0, 100]


def test_networks_of_one_layer_have_no_profiles_and_their_losses_one_scale(tmp_path):
    layers = runs.layer_table(np.ones((2, 1)), [0, 100], name=["output"] * 2)
    for lr, end in ((0.001, 1e-8), (0.1, 1e12)):
        losses = [400.0, end]
        steps = runs.step_table(losses, [0, 100], train_loss=losses, test_loss=losses)
        runs.opened(tmp_path / f"{lr}", [layers], [steps], lr=lr)
    stored = collect(tmp_path)
    figure = comparison(gather(stored, by=["lr"]), gather(stored, "steps", ["lr"]), "lr")
    titles = [panel.get_title("left") for panel in figure.axes]
    assert titles == ["Training loss", "Test loss"]
    for panel in figure.axes:
        assert (panel.get_yscale(), panel.get_ylim()[1] < 1e6) == ("log", True)


def test_a_loss_below_zero_is_seen(tmp_path):
    for depth, losses in ((5, [0.5, -30.0]), (9, [0.5, -2.0])):
        steps = runs.step_table(losses, [0, 100], train_loss=losses, test_loss=losses)
        runs.opened(
            tmp_path / f"{depth}", [runs.layer_table(runs.walk(5, 2), [0, 100])], [steps], depth=depth
        )
    stored = collect(tmp_path)
    figure = comparison(gather(stored), gather(stored, "steps"), "depth")
    for panel in figure.axes[2:]:
        assert panel.get_ylim()[0] < -30


def test_a_common_number_of_seeds_is_in_the_title_of_the_legend(tmp_path):
    layers, steps = study(tmp_path, "depth", depth=[5, 9], seeds=[3, 3])
    figure = comparison(layers, steps, "depth")
    assert legend(figure) == ["5", "9"]
    assert figure.legends[0].get_title().get_text() == "depth  (3 seeds each)"


def test_of_many_groups_each_is_a_band(tmp_path):
    layers, steps = study(tmp_path, "depth", depth=[2, 3, 4, 5, 6], seeds=[2] * 5)
    figure = comparison(layers, steps, "depth")
    assert len(data(figure.axes[0])) == 5
    assert "median and range over the seeds of a run" in legend(figure)


def test_the_step_at_which_another_optimizer_takes_over_is_seen(tmp_path):
    for depth, phase in ((5, [0, 0, 0]), (9, [0, 1, 1])):
        steps = runs.step_table([2.3, 1.0, 0.5], [0, 50, 100], phase=phase)
        layers = [runs.layer_table(runs.walk(depth, 3), [0, 50, 100])]
        runs.opened(tmp_path / f"d{depth}", layers, [steps], depth=depth)
    stored = collect(tmp_path)
    figure = comparison(gather(stored), gather(stored, "steps"), "depth")
    for panel in figure.axes[2:]:
        (line,) = [line for line in panel.get_lines() if line.get_label() == "_switch"]
        assert line.get_xdata() == [50, 50]
    assert "switch to the next optimizer" in legend(figure)


@pytest.mark.parametrize(("dear", "scale"), [(2, "linear"), (40, "symlog")])
def test_training_is_counted_in_loss_evaluations_where_steps_cost_unlike(tmp_path, dear, scale):
    for depth, cost in ((5, 1), (9, dear)):
        steps = runs.step_table([2.3, 0.5], [0, 100], evaluations=[0, 100 * cost], train_loss=[2.3, 0.5])
        layers = [runs.layer_table(runs.walk(depth, 2), [0, 100])]
        runs.opened(tmp_path / f"d{depth}", layers, [steps], depth=depth)
    stored = collect(tmp_path)
    panel = comparison(gather(stored), gather(stored, "steps"), "depth").axes[2]
    assert [line.get_xdata().tolist() for line in data(panel)] == [[0, 100], [0, 100 * dear]]
    assert panel.get_xscale() == scale
