import numpy as np
import pyarrow.parquet as pq
import pytest

from gradlab.analysis import verdicts
from gradlab.report import comparability
from gradlab.report.comparison import (
    Comparison,
    comparison_path,
    comparison_picture,
    distinguishing_keys,
    report_text,
    requested_keys,
)
from gradlab.store.read import collect
from tests import runs
from tests.figures.frames import data, legend, render


@pytest.fixture(autouse=True)
def _without_theory(monkeypatch):
    monkeypatch.setattr(verdicts, "predicted", lambda run: None)


def grid(folder, **values):
    """A run for every combination of the values; the gain of each grows with its place in the grid."""
    for place, combination in enumerate(np.ndindex(*map(len, values.values()))):
        changes = {key: values[key][i] for key, i in zip(values, combination, strict=True)}
        runs.simple(folder / f"run{place:03}", gain=0.8 + 0.01 * place, **({"depth": 12} | changes))
    return collect(folder)


INITIALIZERS = [{"name": name} for name in ("he", "xavier", "lecun")]


def titles(figure):
    return [panel.get_title("left") for panel in figure.axes if panel.get_title("left")]


MAPS = ["Gain per layer, at the start", "Decades over depth, at the start", "Test accuracy, at the end"]
PANELS = [
    "Backward signal at the start",
    "Backward signal after the last step",
    "Training loss",
    "Test accuracy",
]


def test_one_choice_has_profiles_and_two_have_maps_of_their_combinations(tmp_path):
    one = grid(tmp_path / "one", lr=[0.1, 0.2, 0.3])
    assert titles(comparison_picture(Comparison(one, requested_keys(one, [])))) == PANELS
    two = grid(tmp_path / "two", initializer=INITIALIZERS, lr=[0.1, 0.2])
    figure = comparison_picture(Comparison(two, requested_keys(two, [])))
    assert titles(figure) == PANELS + MAPS
    assert (figure.axes[4].get_ylabel(), figure.axes[4].get_xlabel()) == ("initializer", "lr")
    assert legend(figure)[:2] == ["he, lr 0.1", "he, lr 0.2"]
    assert figure.get_suptitle() == ""
    render(figure, tmp_path)


def test_two_choices_that_do_not_cross_have_no_maps(tmp_path):
    for name, depth, lr in (("a", 5, 0.1), ("b", 9, 0.2), ("c", 12, 0.3)):
        runs.simple(tmp_path / name, depth=depth, lr=lr)
    stored = collect(tmp_path)
    assert titles(comparison_picture(Comparison(stored, ["depth", "lr"]))) == PANELS


def test_of_three_choices_those_of_the_largest_effect_cross_or_those_asked_for(tmp_path):
    stored = grid(tmp_path, initializer=INITIALIZERS, lr=[0.1, 0.2], dropout=[0.0, 0.1])
    by = requested_keys(stored, [])
    assert by == ["initializer", "lr", "dropout"]  # the gain grows most with the first, then the second
    comparison = Comparison(stored, by)
    assert comparison.crossed == ["initializer", "lr"]
    assert comparison_picture(comparison).get_suptitle() == "taken together: dropout"
    asked = Comparison(stored, requested_keys(stored, ["dropout", "initializer"]), chosen=True)
    assert asked.crossed == ["dropout", "initializer"]
    assert comparison_picture(asked).get_suptitle() == "taken together: lr"


def test_runs_that_differ_in_the_seed_are_replicates(tmp_path):
    stored = grid(tmp_path, lr=[0.1, 0.2], seed=[0, 1, 2])
    comparison = Comparison(stored, requested_keys(stored, []))
    assert (comparison.by, comparison.factors) == (["lr", "seed"], ["lr"])
    figure = comparison_picture(comparison)
    assert legend(figure) == ["0.1 (3 runs)", "0.2 (3 runs)"]
    assert figure.get_suptitle() == "taken together: seed"
    assert all(effects.rest.interval for effects in comparison.effects)


def test_more_combinations_than_looks_are_grouped_by_the_choice_of_the_largest_effect(tmp_path):
    stored = grid(tmp_path, lr=[0.1, 0.2, 0.3], dropout=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    figure = comparison_picture(Comparison(stored, ["dropout", "lr"], chosen=True))
    assert figure.legends[0].get_title().get_text() == "lr"
    assert legend(figure)[:3] == ["0.1 (6 runs)", "0.2 (6 runs)", "0.3 (6 runs)"]
    assert figure.get_suptitle() == "taken together: dropout"


def test_values_that_three_digits_do_not_tell_apart_stay_apart(tmp_path):
    stored = grid(tmp_path, initializer=INITIALIZERS[:2], lr=[0.12345, 0.12346])
    assert len(legend(comparison_picture(Comparison(stored, ["initializer", "lr"])))) == 4


def test_run_and_compare_say_the_same_of_the_same_runs(tmp_path):
    stored = grid(tmp_path, initializer=INITIALIZERS[:2], lr=[0.1, 0.2])
    of_run = distinguishing_keys(stored, ["lr", "initializer"])  # in the order of the command line
    of_compare = requested_keys(stored, [])
    assert of_run == of_compare == ["initializer", "lr"]
    assert comparison_path(stored, of_run).name == "comparison-initializer-lr.png"
    one, other = (
        comparison_picture(Comparison(stored, of_run)),
        comparison_picture(Comparison(stored[::-1], of_run)),
    )
    assert legend(one) == legend(other)
    for panel, same in zip(one.axes, other.axes, strict=True):
        assert [label.get_text() for label in panel.get_yticklabels()] == [
            label.get_text() for label in same.get_yticklabels()
        ]


def test_what_a_model_sets_by_itself_does_not_vary(tmp_path):
    models = {"mlp": ({"name": "mlp"}, 64, 0), "cnn": ({"name": "cnn", "branch": 1}, 8, 0)}
    for name, (model, width, seed) in models.items():
        runs.simple(tmp_path / name, model=model, width=width, seed=seed)
    assert distinguishing_keys(collect(tmp_path), ["model"]) == ["model"]
    runs.simple(tmp_path / "wider", model={"name": "mlp"}, width=65)
    assert distinguishing_keys(collect(tmp_path), ["model", "width"]) == ["model", "width"]


def test_seeds_and_how_often_it_is_measured_are_no_factors(tmp_path):
    runs.simple(tmp_path / "a", seeds=2, lr=0.1)
    runs.simple(tmp_path / "b", seeds=1, lr=0.2, eval={"every": 5})
    assert Comparison(collect(tmp_path), ["lr"]).factors == ["lr"]


def test_the_effects_stand_below_the_table(tmp_path):
    stored = grid(tmp_path, initializer=INITIALIZERS, lr=[0.1, 0.2])
    lines = report_text(Comparison(stored, ["initializer", "lr"])).splitlines()
    effects = [line for line in lines if line.startswith("effects     ")]
    # of 0.8, 0.81, … the differences between initializers are twice those between learning rates
    assert effects[0].startswith("effects     gain: initializer 9")
    assert effects[0].endswith("no interval: one seed")
    assert [line.split()[1] for line in effects] == ["gain:", "decades:"]  # all scores are the same
    assert lines.index(effects[0]) == 7


def test_runs_of_one_kind_have_nothing_to_note(tmp_path):
    assert comparability.differences(grid(tmp_path, lr=[0.1, 0.2])) == []


def mixed(folder):
    """A classifier, a regression with another loss and batch size, a residual network and a surface."""
    runs.simple(folder / "a")
    other = {"batch_size": 32, "loss": {"name": "mse"}, "data": {"name": "diabetes", "seed": 0}}
    for name, made, state in (
        ("b", runs.recipe(depth=5, **other), {**runs.DATA, "name": "diabetes", "metric": "r2"}),
        ("c", runs.recipe(depth=5, model={"name": "resnet"}), runs.DATA),
    ):
        scores = {"test_r2": [0.1, 0.5], "test_accuracy": [0.1, 0.5], "test_loss": [2.0, 1.0]}
        steps = runs.step_table([2.0, 1.0], [0, 100], **scores)
        layers = runs.layer_table(runs.walk(5, 2), [0, 100])
        runs.write(folder / name, made, runs.status(data=state), [layers], [steps])
    return collect(folder)


def test_what_is_not_compared_is_said_and_not_drawn(tmp_path):
    stored = mixed(tmp_path)
    assert comparability.differences(stored) == [
        "scores are not compared: accuracy and R²",
        "losses are not compared: cross_entropy and mse",
        "the tasks differ: digits and diabetes; so do their chance levels",
        "layers differ in kind, so profiles are drawn over relative depth: dense layers and residual blocks",
        "a step is a gradient of 128 and 32 examples: the numbers of steps are not compared",
    ]
    figure = comparison_picture(Comparison(stored, ["run"]))
    start, _, loss, score = figure.axes
    assert start.get_xlabel().startswith("relative depth")
    for panel in (loss, score):
        assert [text.get_text() for text in panel.texts] == ["not compared: cross_entropy and mse"]
        assert not data(panel)
    assert report_text(Comparison(stored, ["run"])).count("\nnote        ") == 5


def test_a_surface_beside_networks_has_no_profile(tmp_path):
    runs.simple(tmp_path / "a", depth=5)
    layers = runs.layer_table(np.ones((2, 1)), [0, 100], name=["output"] * 2)
    state = runs.status(data={**runs.DATA, "metric": "loss", "chance_loss": None, "name": "single"})
    made = runs.recipe(depth=1, model={"name": "point"}, loss={"name": "ravine"})
    runs.write(tmp_path / "b", made, state, [layers], [runs.step_table([2.0, 1.0], [0, 100])])
    stored = collect(tmp_path)
    figure = comparison_picture(Comparison(stored, ["model"]))
    assert len(data(figure.axes[0])) == 1
    assert (
        "a surface (model=point) has no layers: it has no profile and no gain"
        in comparability.differences(stored)
    )


def test_surfaces_alone_are_compared_by_their_losses(tmp_path):
    layers = runs.layer_table(np.ones((2, 1)), [0, 100], name=["output"] * 2)
    state = runs.status(data={**runs.DATA, "metric": "loss", "chance_loss": None, "name": "single"})
    for name in ("ravine", "saddle"):
        made = runs.recipe(depth=1, model={"name": "point"}, loss={"name": name})
        steps = runs.step_table([2.0, 1.0], [0, 100], test_loss=[2.0, 1.0])
        runs.write(tmp_path / name, made, state, [layers], [steps])
    stored = collect(tmp_path)
    assert comparability.differences(stored) == []
    figure = comparison_picture(Comparison(stored, ["loss.name"]))
    assert [len(data(panel)) for panel in figure.axes] == [2, 2]


def test_recurrent_networks_are_compared_along_time(tmp_path):
    for name, slope in (("rnn", -1.0), ("lstm", -0.1)):
        folder = runs.simple(tmp_path / name, depth=1, model={"name": name})
        times, steps = 6, [0, 100]
        layer, at = [1] * times * 2, list(range(1, times + 1)) * 2
        backward = [slope * (times - t) - step / 100 for step in steps for t in range(1, times + 1)]
        rows = runs.table(
            "times",
            {
                "seed": [0] * times * 2,
                "step": np.repeat(steps, times).tolist(),
                "source": ["batch"] * times * 2,
                "layer": layer,
                "name": ["recurrent 1"] * times * 2,
                "time": at,
                "log10_backward": backward,
            },
        )
        (folder / "times").mkdir()
        pq.write_table(rows, folder / "times" / "all.parquet")
    figure = comparison_picture(Comparison(collect(tmp_path), ["model"]))
    lags = figure.axes[2]
    assert lags.get_title("left") == "Backward signal through time →"
    drawn = {line.get_ydata()[-1]: line for line in data(lags)}
    assert sorted(drawn) == pytest.approx([-6.0, -1.5])  # at lag 5, after the last step
    for line in drawn.values():
        assert line.get_xdata().tolist() == [0, 1, 2, 3, 4, 5]
    render(figure, tmp_path)


def test_without_the_backward_probe_there_is_a_picture_without_maps(tmp_path):
    for name, depth, lr in (("a", 3, 0.1), ("b", 3, 0.2), ("c", 4, 0.1), ("d", 4, 0.2)):
        layers = runs.layer_table(np.ones((2, depth + 2)), [0, 100], log10_backward=[None] * 2 * (depth + 2))
        runs.opened(tmp_path / name, [layers], [runs.step_table([2.0, 1.0], [0, 100])], depth=depth, lr=lr)
    assert titles(comparison_picture(Comparison(collect(tmp_path), ["depth", "lr"]))) == PANELS
