"""Probes and snapshots of one's own: stored by name, each at its own interval, and no bit of training is changed."""

import importlib
import signal
import sys
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab import Column, Probe, Snapshot
from gradlab.engine import compiled
from gradlab.engine.prepare import prepare
from gradlab.measurements.columns import schemas
from gradlab.parts.family import function
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name
from tests.recipes import TINY, launch, recipe

HERE = __name__
STEP = Column("moved", "‖θ − θ_0‖", kind="step")


def moved(scale: float = 1.0):
    """The state is θ_0; `scale` is a number of the recipe."""

    def update(now, start):
        squares = sum(jnp.sum((w - start[path]) ** 2) for path, w in now.params.items())
        return {"moved": scale * jnp.sqrt(squares)}, start

    return Probe((STEP,), update=update, init=lambda params: params)


def count():
    """The state counts the measured rows; one column of each kind."""

    def update(now, rows):
        sizes = {path: jnp.full(g.shape[: now.stacked_axes[path]], 1.0) for path, g in now.grads.items()}
        layers = sum(block.count or 1 for block in BLOCKS)
        return {"rows": rows, "each": jnp.arange(layers, dtype=jnp.float32), "ones": sizes}, rows + 1

    columns = (
        Column("rows", "rows measured before", kind="step"),
        Column("each", "the layer's number"),
        Column("ones", "one", kind="parameter", over_kernels="sum"),
    )
    return Probe(columns, update=update, init=lambda params: jnp.zeros(()))


BLOCKS = prepare(recipe(*TINY)).layout.blocks


def largest():
    """The largest |h| of a block."""
    return Probe(
        (Column("largest", "largest |h_l|"),), signal=lambda block: {"largest": jnp.abs(block.h).max()}
    )


def steepness():
    """‖∂L/∂θ‖ on the fixed batch, and of each parameter."""

    def compute(inputs):
        grads = jax.grad(inputs.loss)(inputs.params)
        by_layer = {path: jnp.sqrt(jnp.sum(g**2, axis=_rest(g, path))) for path, g in grads.items()}
        whole = jnp.sqrt(sum(jnp.sum(g**2) for g in grads.values()))
        return {"steepness": whole, "slope": by_layer}

    columns = (Column("steepness", "‖∂L/∂θ‖", kind="step"), Column("slope", "‖∂L/∂θ‖", kind="parameter"))
    return Snapshot(columns, compute)


def _rest(g, path):
    return tuple(range(1 if path.startswith("hidden") else 0, g.ndim))


PROBES = f"probe=[standard,{HERE}:moved,{HERE}:count,{HERE}:largest]"
SNAPSHOTS = f"snapshot=[recurrent_spectrum,{HERE}:steepness]"


@lru_cache
def ran(outputs, *words):
    return gradlab.run(*TINY, f"outputs={outputs}", *words)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def mine(outputs):
    """Every probe of gradlab and of this file, some at intervals of their own."""
    every = ("probes.count.every=3", "probes.largest.every=2", "probes.moments.every=3")
    return ran(outputs, PROBES, SNAPSHOTS, *every, "seeds=2")


@pytest.fixture(scope="module")
def plain(outputs):
    return ran(outputs, "seeds=2")


def batch(frame):
    return frame[(frame.source == "batch").to_numpy()]


def measured(run, table, column):
    """The steps of minibatches in which the column was measured."""
    rows = batch(getattr(run, table))
    return sorted(set(rows.step[~rows[column].isna().to_numpy()]))


def test_a_probe_measures_at_its_interval_and_at_the_last_row(mine):
    assert measured(mine, "steps", "moved") == list(range(9))
    assert measured(mine, "steps", "rows") == measured(mine, "layers", "mean") == [0, 3, 6, 8]
    assert measured(mine, "parameters", "ones") == measured(mine, "layers", "each") == [0, 3, 6, 8]
    assert measured(mine, "layers", "largest") == [0, 2, 4, 6, 8]
    for column in ("rows", "moved"):  # every probe measures the fixed batch
        fixed = mine.steps[(mine.steps.source == "probe").to_numpy()]
        assert not fixed[column].isna().any()


def test_what_is_measured_less_often_has_the_values_that_it_has_at_every_step(mine, plain):
    keys = ["seed", "step", "source", "layer"]
    both = mine.layers.merge(plain.layers, on=keys, suffixes=("", "_plain"))
    where = ~both["mean"].isna().to_numpy()
    assert where.any()
    assert not where.all()
    one, other = (both[column][where].to_numpy(float) for column in ("mean", "mean_plain"))
    np.testing.assert_allclose(one, other, atol=1e-6)  # compiled apart, sums may be rounded differently


def test_no_bit_of_training_and_of_the_other_columns_is_changed(mine, plain):
    for column in ("loss", "log10_gradient", "test_loss"):
        np.testing.assert_array_equal(
            mine.steps[column].to_numpy(float, na_value=-1), plain.steps[column].to_numpy(float, na_value=-1)
        )
    for column in ("log10_forward", "log10_backward", "log10_gradient"):
        np.testing.assert_array_equal(mine.layers[column], plain.layers[column])


def test_a_state_goes_from_one_measured_row_of_training_to_the_next(mine):
    rows = batch(mine.steps)
    counts = rows[(rows.seed == 1).to_numpy() & rows.step.isin([0, 3, 6, 8]).to_numpy()]
    assert counts.rows.tolist() == [0, 1, 2, 3]
    assert batch(mine.steps).moved.to_numpy(float)[0] == 0
    assert (batch(mine.steps).moved.to_numpy(float)[1:9] > 0).all()


def test_columns_of_every_kind_are_in_their_tables(mine):
    layers = batch(mine.layers)
    last = layers[(layers.step == 8).to_numpy() & (layers.seed == 0).to_numpy()]
    assert last.each.tolist() == [0, 1, 2, 3]
    assert last.ones.tolist() == [1, 1, 1, 1]  # one kernel in each layer
    assert len(mine.parameters.ones.dropna().unique()) == 1
    assert mine.meanings("steps")["moved"] == ("1", "‖θ − θ_0‖")
    assert mine.meanings("layers")["ones"].definition == "one, over the layer's kernels"


def test_a_snapshot_is_taken_of_the_fixed_batch_at_evaluations(mine):
    steps = mine.steps
    taken = steps[~steps.steepness.isna().to_numpy()]
    assert set(taken.source.astype(str)) == {"probe"}
    assert sorted(set(taken.step)) == [0, 4, 8]
    np.testing.assert_allclose(taken.steepness, 10 ** taken.log10_gradient.to_numpy(float), rtol=1e-5)
    parameters = mine.parameters[~mine.parameters.slope.isna().to_numpy()]
    np.testing.assert_allclose(
        np.log10(parameters.slope.to_numpy(float)), parameters.log10_gradient.to_numpy(float), atol=1e-5
    )


def test_an_interval_of_one_and_the_snapshots_of_gradlab_leave_the_folder_s_name():
    name = folder_name(recipe(*TINY))
    assert folder_name(recipe(*TINY, "probes.cosine.every=1", "probe=standard")) == name
    others = ("probes.cosine.every=2", "snapshot=[]", PROBES, "probe=[forward]")
    assert len({folder_name(recipe(*TINY, word)) for word in others} | {name}) == 5


@pytest.mark.slow
def test_a_number_of_a_probe_is_an_argument_of_the_program(outputs):
    words = (f"probe=[forward,{HERE}:moved]", "log.every=4")
    runs = [ran(outputs, *words, f"probes.moved.scale={scale}") for scale in (1.0, 2.0)]
    one, two = (run.steps.moved.to_numpy(float) for run in runs)
    np.testing.assert_array_equal(2 * one, two)
    assert runs[1].status["compile_seconds"] < 1


@pytest.mark.slow
def test_a_run_with_a_state_goes_on_to_the_same_end(tmp_path):
    words = (PROBES, "steps=40", "eval.every=10")
    whole = gradlab.run(*TINY, *words, f"outputs={tmp_path / 'whole'}")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(words, tmp_path / "cut")
    resumed = gradlab.run(*TINY, *words, f"outputs={tmp_path / 'cut'}")
    for column in ("loss", "moved", "rows"):
        np.testing.assert_array_equal(resumed.steps[column], whole.steps[column])


def _interrupted(words, folder):
    def stop(progress):
        if progress.step == 20:
            signal.raise_signal(signal.SIGINT)

    if launch(recipe(*TINY, *words, f"outputs={folder}"), stop).state == "interrupted":
        raise KeyboardInterrupt


def test_numbers_of_python_are_arrays_too():
    made = prepare(
        recipe(*TINY, f"probe=[standard,{HERE}:plain_numbers]", f"snapshot=[{HERE}:a_plain_number]")
    )
    assert "two" in made.layout.schemas["steps"].names


def plain_numbers():
    return Probe(
        (Column("two", "two", kind="step"),), update=lambda now, s: ({"two": 2.0}, s), init=lambda p: 0
    )


def a_plain_number():
    return Snapshot((Column("three", "three", kind="step"),), lambda inputs: {"three": 3})


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_columns_or_hides_other_code(tmp_path, monkeypatch):
    """A user's module is edited between an interruption and the same command again, and after the end."""
    monkeypatch.syspath_prepend(tmp_path)
    module = """
from gradlab import Column, Probe
def mine():
    return Probe((Column("NAME", "d"),), signal=lambda block: {"NAME": block.h.max()})
"""

    def write(name):
        (tmp_path / "edited_probes.py").write_text(module.replace("NAME", name))
        importlib.invalidate_caches()
        sys.modules.pop("edited_probes", None)
        function.cache_clear()
        compiled.release()

    words = ("probe=[standard,edited_probes:mine]", "steps=40", "eval.every=10", f"outputs={tmp_path / 'o'}")
    write("before")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(words, tmp_path / "o")
    write("after")
    run = gradlab.run(*TINY, *words)
    assert "is of another network or other probes; began again" in run.status["message"]
    assert batch(run.layers).after.notna().all()
    assert "before" not in run.layers.columns
    write("after_all")
    outcome = launch(recipe(*TINY, *words))
    assert not outcome.fresh
    assert "made by edited_probes" in outcome.message


@pytest.mark.slow
def test_accumulated_gradients_are_of_the_whole_batch_also_where_the_signal_is_small(tmp_path):
    words = ("depth=30", "activation=sigmoid", "initializer=xavier", "steps=0", "batch_size=64")
    whole, parts = (
        gradlab.run(*TINY[1:2], *words, f"accumulate={count}", f"outputs={tmp_path}") for count in (1, 4)
    )
    assert whole.layers.log10_backward.min() < -12
    ours, theirs = (batch(run.layers).log10_gradient.to_numpy(float) for run in (parts, whole))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def no_probe():
    return 1


def two_functions():
    return Probe((STEP,), signal=lambda block: {}, backward=lambda norms: {})


def a_step_of_the_signal():
    return Probe((STEP,), signal=lambda block: {"moved": jnp.zeros(())})


def a_state_of_the_signal():
    column = (Column("a", "a"),)
    return Probe(column, signal=lambda block: {"a": jnp.zeros(())}, init=lambda params: params)


def other_names():
    return Probe((STEP,), update=lambda now: {"movement": jnp.zeros(())})


def other_shape():
    return Probe((STEP,), update=lambda now: {"moved": jnp.zeros(3)})


def a_choice_s_name():
    return Probe((Column("depth", "a depth"),), signal=lambda block: {"depth": jnp.zeros(())})


def a_name_of_gradlab():
    return Probe((Column("cosine", "mine"),), signal=lambda block: {"cosine": jnp.zeros(())})


def an_error():
    return Probe((STEP,), update=lambda now: {"moved": now.weights})


WRONG = {
    "no_probe": "returns a gradlab.measurements.probe.Probe, not a int",
    "two_functions": "exactly one of signal, backward and update",
    "a_step_of_the_signal": "the column moved of a probe has kind='step', not layer",
    "a_state_of_the_signal": "only a probe of the update has a state",
    "other_names": "declares the columns moved and returns movement",
    "other_shape": r"the column moved, kind='step', is returned in the shape \(3,\)",
    "a_choice_s_name": "a probe's column cannot be called 'depth'",
    "a_name_of_gradlab": "the table 'layers' would have two columns cosine; rename that of the probe",
    "an_error": "does not fit: AttributeError: 'UpdateSignal' object has no attribute 'weights'",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_probe_that_is_none_is_refused_before_anything_is_written(name):
    with pytest.raises(RecipeError, match=WRONG[name]):
        _ = prepare(recipe(*TINY, f"probe=[standard,{HERE}:{name}]")).layout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (f"probe=[{HERE}:missing]", "has no 'missing'"),
        ("probe=[all,no_such_module:f]", "'no_such_module' cannot be imported"),
        (f"probe=[all,{HERE}:cosine]", "there is a probe of that name already"),
        ("probes.cosine.every=0", "probes.cosine.every=0 must be a whole number from 1"),
        ("probes.cosine.evry=2", "did you mean 'probes.cosine.every'"),
        ("snapshot=[spectrum]", "there is no snapshot 'spectrum'"),
    ],
)
def test_a_wrong_choice_is_refused_in_one_line(words, message):
    with pytest.raises(RecipeError, match=message) as refused:
        recipe(*TINY, words)
    assert "\n" not in str(refused.value)


def cosine():
    return Probe((STEP,), update=lambda now: {"moved": jnp.zeros(())})


def test_an_experiment_may_not_name_a_probe_s_function(tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()
    text = "# Does it run code?\nprobes:\n  mine:\n    name: os:system\n"
    (tmp_path / "experiments" / "hostile.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="probe=os:system names a function, which an experiment may not"):
        recipe(*TINY, "experiment=hostile")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "block"}, "kind='block'; choose one of layer, parameter, step, note"),
        ({"over_kernels": "product"}, "over_kernels='product'; choose one of norm, sum, mean"),
        ({"over_kernels": "sum"}, "only parameters have over_kernels"),
        ({"over_kernels": "norm", "kind": "parameter"}, "joins log10 of norms; declare unit='log10'"),
        ({"over_kernels": "mean", "kind": "parameter", "is_count": True}, "counts have only 'sum'"),
        ({"name": "Mine"}, "cannot be called 'Mine'"),
        ({"name": "step"}, "cannot be called 'step'"),
    ],
)
def test_a_column_that_no_table_can_hold_is_refused(change, message):
    with pytest.raises(RecipeError, match=message):
        schemas([Column("mine", "mine")._replace(**change)])
