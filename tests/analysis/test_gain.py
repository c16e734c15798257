import numpy as np
import pytest

from gradlab.analysis.gain import Sizes, backward_gain, first_defects, profile_decades
from gradlab.store.read import open_run
from tests import runs


def frame(tmp_path, backward, forward=None, seeds=1, **more):
    """Rows at step 0 of the same profile for each seed; several profiles where `backward` has three axes."""
    profiles = np.broadcast_to(backward, (seeds, *np.shape(backward)[-1:]))
    forward = None if forward is None else np.asarray([forward])
    pieces = [runs.layer_table(profiles[i][None], [0], forward, seed=i, **more) for i in range(seeds)]
    return runs.opened(tmp_path / "run", pieces, [runs.step_table([1.0], [0])]).layers


def test_a_straight_profile_has_its_slope_as_gain(tmp_path):
    found = backward_gain(frame(tmp_path, np.arange(22) * 0.1))
    assert found.gain == pytest.approx(10**-0.1, rel=1e-5)  # stored in float32
    assert found.decades == pytest.approx(-1.9, rel=1e-5)
    assert found.interval == pytest.approx((10**-0.1, 10**-0.1), rel=1e-5)


def test_three_differences_at_each_end_are_left_out(tmp_path):
    profile = np.zeros(22)
    profile[1], profile[4] = 5.0, 5.0  # d_2 to d_5: −5, 0, 5, 0... d_5 = +5 is the first that counts
    found = backward_gain(frame(tmp_path, profile))
    assert found.gain == pytest.approx(10 ** (5 / 13), rel=1e-5)
    assert found.decades == pytest.approx(5.0)


def test_the_interval_is_students(tmp_path):
    profile = runs.walk(20, 1, seed=3)[0].astype(np.float32)
    d = (profile[1:20] - profile[2:21])[3:-3].astype(float)
    found = backward_gain(frame(tmp_path, profile))
    half = 2.178813 * d.std(ddof=1) / np.sqrt(13)  # t at 0.975 with 12 degrees of freedom
    assert np.log10(found.interval) == pytest.approx([d.mean() - half, d.mean() + half], rel=1e-5)


def test_three_seeds_make_an_interval_over_seeds(tmp_path):
    profiles = np.array([-0.1, -0.2, -0.3])[:, None] * np.arange(22)[::-1]
    found = backward_gain(frame(tmp_path, profiles, seeds=3))
    half = 4.302653 * 0.1 / np.sqrt(3)
    assert found.seeds == 3
    assert np.log10(found.interval) == pytest.approx([-0.2 - half, -0.2 + half], rel=1e-5)
    assert found.decades_interval == pytest.approx((19 * (-0.2 - half), 19 * (-0.2 + half)), rel=1e-5)


def test_the_interval_covers_random_networks_as_it_says():
    """On 200 random networks the 95 % interval holds the true mean of d in 90 to 100 %."""
    random = np.random.default_rng(0)
    for kind in ("relu", "tanh"):
        steps = np.array([_differences(kind, random) for _ in range(200)])
        truth = steps.mean()
        halves = [2.045230 * d.std(ddof=1) / np.sqrt(d.size) for d in steps]  # 30 differences
        low, high = _intervals(steps)
        assert np.allclose(high - low, 2 * np.array(halves), rtol=1e-4)
        covered = np.mean((low <= truth) & (truth <= high))
        assert 0.90 <= covered <= 1.0, (kind, covered)


def _differences(kind: str, random, width: int = 32, depth: int = 37, batch: int = 16) -> np.ndarray:
    """d_l of one network at initialization, three at each end left out (`_intervals` adds them)."""
    if kind == "relu":
        weights = random.standard_normal((depth, width, width)) * np.sqrt(2 / width)
    else:
        weights = np.linalg.qr(random.standard_normal((depth, width, width)))[0]
    h, slopes = random.standard_normal((batch, width)), []
    for w in weights:
        z = h @ w
        h = np.maximum(z, 0) if kind == "relu" else np.tanh(z)
        slopes.append(z > 0 if kind == "relu" else 1 - h**2)
    g, norms = random.standard_normal((batch, width)), []
    for w, slope in zip(weights[::-1], slopes[::-1], strict=True):
        norms.append(np.log10(np.linalg.norm(g)))
        g = (g * slope) @ w.T
    return -np.diff(norms[::-1])[3:-3]  # d_l = log10_backward(l−1) − log10_backward(l)


def _intervals(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `backward_gain` says of each walk alone."""
    import pandas as pd

    found = []
    for d in steps:
        names = ["input", *(f"hidden {l}" for l in range(1, 38)), "output"]
        walk = np.concatenate([np.zeros(5), -np.cumsum(d), np.full(4, -d.sum())])
        rows = pd.DataFrame({"seed": 0, "layer": np.arange(len(walk)), "name": names, "log10_backward": walk})
        found.append(np.log10(backward_gain(rows.assign(log10_forward=0.0)).interval))
    return tuple(np.array(found).T)


@pytest.mark.parametrize("depth", [2, 5, 9])
def test_a_shallow_net_has_a_gain_but_no_interval(tmp_path, depth):
    found = backward_gain(frame(tmp_path, np.arange(depth + 2) * 0.5))
    assert found.gain == pytest.approx(10**-0.5, rel=1e-5)
    assert found.interval is None
    assert found.note == "too few layers for an interval"


def test_one_hidden_layer_has_no_gain(tmp_path):
    found = backward_gain(frame(tmp_path, np.zeros(3)))
    assert (found.layers, found.gain, found.decades, found.note) == (1, None, None, "one hidden layer")


def test_an_exact_zero_cuts_and_ends_the_average(tmp_path):
    profile = np.arange(22) * 0.1
    profile[:8] = -np.inf
    found = backward_gain(frame(tmp_path, profile))
    (defect,) = first_defects(frame(tmp_path / "b", profile))
    assert (defect.kind, defect.layer) == ("cut", 8)
    assert found.gain == pytest.approx(10**-0.1, rel=1e-5)
    assert found.decades is None


def test_the_first_layer_that_is_not_finite_is_found_in_each_direction(tmp_path):
    profile = np.zeros(22)
    profile[:5] = np.nan
    assert first_defects(frame(tmp_path, profile))[0].layer == 5  # it received a finite gradient
    forward = np.zeros(22)
    forward[6:] = np.inf
    (found,) = first_defects(frame(tmp_path / "b", np.full(22, np.nan), forward))
    assert (found.layer, found.where, found.kind) == (6, "forward", "undefined")


def test_a_forward_signal_that_leaves_the_format_is_no_dead_layer(tmp_path):
    tiny = np.where(np.arange(22) < 9, -4.5 * np.arange(22), -np.inf)
    dead = np.where(np.arange(22) < 9, 0.0, -np.inf)
    backward = np.where(np.arange(22) < 9, -np.inf, 0.0)
    assert first_defects(frame(tmp_path, backward, tiny))[0].kind == "underflow"
    (found,) = first_defects(frame(tmp_path / "b", backward, dead))
    assert (found.kind, found.layer, found.where) == ("cut", 9, "forward")


def test_an_unmeasured_forward_is_no_defect(tmp_path):
    folder = tmp_path / "run"
    rows = runs.layer_table(runs.walk(12, 1), [0], log10_forward=[None] * 14)
    run = open_run(runs.write(folder, runs.recipe(), runs.status(), [rows], [runs.step_table([1.0], [0])]))
    assert first_defects(run.layers) == ()


def test_the_shape_tells_where_the_change_is(tmp_path):
    steps = np.concatenate([np.full(12, 0.3), np.full(12, 0.1), np.zeros(14)])
    jitter = 0.01 * np.random.default_rng(0).standard_normal(38)
    profile = np.concatenate([[0], np.cumsum(-(steps + jitter)), [0]])
    assert backward_gain(frame(tmp_path, profile)).shape == "most of it near the input"


def test_only_neighbours_of_one_stack_count_for_the_gain(tmp_path):
    """A jump between two stages is no gain per layer, but it is part of the decades."""
    profile = np.concatenate([np.zeros(1), np.full(10, 9.0), np.zeros(10), np.zeros(1)])
    layers = frame(tmp_path, profile)
    names = {layer: f"stage{1 + (layer > 10)} {layer}" for layer in range(1, 21)}
    layers = layers.assign(name=[names.get(layer, "end") for layer in layers.layer])
    found = backward_gain(layers)
    assert found.gain == pytest.approx(1.0)
    assert found.decades == pytest.approx(9.0)


def test_unlike_layers_have_decades_but_no_gain(tmp_path):
    layers = frame(tmp_path, np.array([0.0, 1.0, 2.0, 4.0, 5.0]))
    found = backward_gain(layers.assign(name=["a", "b", "c", "d", "e"]))
    assert (found.gain, found.decades, found.note) == (
        None,
        pytest.approx(-3.0),
        "no two neighbouring layers are of the same kind, so there is no gain per layer",
    )


@pytest.mark.parametrize(
    ("grown", "inputs", "weights", "kind", "cause", "grows"),
    [
        (30.0, 0.0, 1.0, "overflow", "", True),  # a product of two numbers of 1e30
        (0.5, 0.0, 1.0, "undefined", "", False),  # from numbers of ordinary size
        (0.5, 30.0, 1.0, "overflow", "large inputs", False),
        (0.5, 0.0, np.nan, "undefined", "weights", False),
        (0.5, 0.0, np.inf, "overflow", "weights", False),
        (11.0, 0.0, 1.0, "undefined", "", True),  # exp of a number above 88, say
    ],
)
def test_an_overflow_is_told_from_a_number_that_is_not_defined(
    tmp_path, grown, inputs, weights, kind, cause, grows
):
    forward = np.r_[np.linspace(0, grown, 12), np.full(10, np.inf)]
    log10_weight = np.where(np.arange(22) == 12, weights, 1.0)
    layers = frame(tmp_path, np.full(22, np.nan), forward, log10_weight=log10_weight[None])
    (found,) = first_defects(layers, Sizes(inputs=inputs))
    assert (found.layer, found.kind, found.cause, found.surely_grows) == (12, kind, cause, grows)
    assert found.growth == pytest.approx(grown * 10 / 11, rel=1e-5)


def test_a_backward_pass_that_breaks_grows_from_the_output(tmp_path):
    backward = np.r_[np.full(8, np.inf), np.linspace(20, 0, 14)]
    (found,) = first_defects(frame(tmp_path, backward, np.zeros(22)))
    assert (found.layer, found.where, found.kind, found.surely_grows) == (8, "backward", "overflow", True)
    assert found.growth == pytest.approx(20 * 12 / 13, rel=1e-5)


def test_the_decades_of_one_profile_are_those_of_the_gain(tmp_path):
    profile = runs.walk(20, 1, seed=3)[0].astype(np.float32)
    found = backward_gain(frame(tmp_path, profile))
    assert profile_decades(profile[1:-1].astype(float)) == pytest.approx(
        (found.decades, *found.decades_interval)
    )
