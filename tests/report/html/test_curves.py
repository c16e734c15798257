"""The numbers that the page draws: a selection of the stored ones, rounded, with letters for what is no number."""

import json

import numpy as np
import pytest

from gradlab.report.html.curves import MOST_LAYERS, as_json, budget, curves
from gradlab.report.pictures import default_names
from gradlab.store.read import open_run
from tests import runs
from tests.report.html.pages import diverging, page_of


def test_profiles_are_those_of_the_tables(tmp_path):
    run = open_run(runs.simple(tmp_path / "run", depth=4))
    found = curves(run, budget(1))
    assert found["steps"] == list(range(0, 101, 10))
    assert found["layers"] == list(range(6))
    assert found["names"][:2] == ["input", "hidden 1"]
    stored = run.layers[run.layers.source == "batch"].pivot(
        index="step", columns="layer", values="log10_backward"
    )
    np.testing.assert_allclose(
        np.array(found["profiles"]["log10_backward"]) / 1000, stored.to_numpy(float), atol=5.1e-4
    )


def test_what_is_no_number_is_a_letter_and_what_was_not_measured_null(tmp_path):
    run = open_run(diverging(tmp_path / "run"))
    table = curves(run, budget(1))["profiles"]["log10_backward"]
    assert table[4][:4] == ["z", "z", "z", "i"]
    assert set(table[5]) == {"n"}
    rows = runs.layer_table(runs.walk(2, 1), [0], log10_gradient=[None, 1.0, 2.0, None])
    other = runs.opened(tmp_path / "other", [rows], [runs.step_table([1.0], [0])], depth=2)
    assert curves(other, budget(1))["profiles"]["log10_gradient"] == [[None, 1000, 2000, None]]


def test_courses_have_their_own_steps(tmp_path):
    courses = curves(open_run(diverging(tmp_path / "run")), budget(1))["courses"]
    assert courses["loss"]["steps"] == list(range(0, 101, 10))
    assert courses["loss"]["values"][3:7] == [1000, 1e20, "n", "n"]


@pytest.mark.parametrize("number", [1, 20, 300])
def test_of_many_steps_and_layers_some_are_left_out_evenly(tmp_path, number):
    depth, steps = 300, list(range(400))
    rows = runs.layer_table(runs.walk(depth, 400), steps)
    run = runs.opened(tmp_path / "run", [rows], [runs.step_table([1.0] * 400, steps)], depth=depth)
    found = curves(run, budget(number))
    assert (found["layers"][0], found["layers"][-1], len(found["layers"])) == (0, depth + 1, MOST_LAYERS)
    assert (found["steps"][0], found["steps"][-1]) == (0, 399)
    assert 2 <= len(found["steps"]) <= max(2, budget(number).profile // MOST_LAYERS)
    assert np.ptp(np.diff(found["steps"])) <= 1
    assert (found["steps_stored"], found["layers_stored"]) == (400, depth + 2)


def test_of_several_seeds_the_first_is_drawn(tmp_path):
    run = open_run(runs.simple(tmp_path / "run", depth=3, seeds=3))
    alone = open_run(runs.simple(tmp_path / "alone", depth=3))
    assert curves(run, budget(1)) == curves(alone, budget(1))


def test_json_cannot_close_its_element():
    data = {"name": "</script><!--&\u2028"}
    assert not set(as_json(data)) & set("<>&\u2028")
    assert json.loads(as_json(data)) == data


def test_a_page_of_fifty_layers_and_five_hundred_steps_is_small(tmp_path):
    steps = list(range(501))
    more = {f"log10_{name}": runs.walk(50, 501, seed=3) for name in ("gradient", "update", "weight")}
    walks = runs.walk(50, 501, 0.97), steps, runs.walk(50, 501, seed=1)
    loss = np.geomspace(2.3, 0.01, 501) * np.exp(0.1 * np.random.default_rng(0).standard_normal(501))
    norms = {f"log10_{name}": np.log10(loss).tolist() for name in ("gradient", "unclipped", "clipped")}
    clipped = {"clipped": (np.arange(501) % 3 == 0).astype(float).tolist()}
    tables = [runs.layer_table(*walks, **more)], [runs.step_table(loss.tolist(), steps, **norms, **clipped)]
    folder = runs.write(
        tmp_path / "run", runs.recipe(depth=50, steps=500), runs.status(steps_done=500), *tables
    )
    page = page_of(folder)
    assert len(page.of("svg")) == len(default_names(open_run(folder))) >= 3
    assert 150_000 < len(page.source.encode()) < 400_000
