"""Whole trainings: against the reference in float64, and bit for bit whatever else is asked of the run."""

import jax
import numpy as np
import pytest

from gradlab.engine.loop import compile_run, load_run, train
from gradlab.engine.prepare import prepare
from gradlab.engine.rows import step_values
from gradlab.engine.seed_programs import streams
from gradlab.measurements.row import unpack
from tests import measures, rules
from tests.driver import recipe, task, tree
from tests.reference import evaluated, network

pytestmark = pytest.mark.slow  # each test compiles a network of its own
BATCH = 8
EXACT = (
    "activation=tanh",
    "normalization=batch",
    "residual=scaled",
    "optimizer=momentum",
    "schedule=linear",
    "clip=norm",
    "clip.threshold=0.5",
    "penalty=l2",
    "penalty.strength=0.01",
    "dtype=float64",
    "steps=12",
    "eval.every=4",
    f"batch_size={BATCH}",
)


def order(seed, epoch, examples):
    """The examples of an epoch in their order, from the seed's own stream."""
    return np.asarray(jax.random.permutation(jax.random.fold_in(streams(seed)[1], epoch), examples))


def by_hand(the, given, params, stats, seed):
    """Twelve steps by the formulas: each one's signals and columns, and the losses of every evaluation."""
    optimizer, rows, found, per_epoch = rules.Optimizer(the.optimizer), [], [], len(given.train_y) // BATCH
    for step in range(the.steps + 1):
        if step % 4 == 0:
            parts = ((given.train_x, given.train_y), (given.test_x, given.test_y))
            found.append(np.concatenate([evaluated(the, params, stats, *part) for part in parts]))
        first = step % per_epoch * BATCH
        some = order(seed, step // per_epoch, len(given.train_y))[first : first + BATCH]
        back = network(the, params, stats, given.train_x[some], given.train_y[some])
        grads = rules.penalized(the.penalty, params, back.grads)
        clipped = rules.clip(the.clip, grads)
        rate = the.lr * rules.factor(the.schedule, step, the.steps)
        said = {"loss": back.loss, "penalty": rules.penalty(the.penalty, params), "learning_rate": rate}
        rows.append((measures.signals(the, back), said | measures.clipping(grads, clipped)))
        rows[-1][1]["clipped"] = float(rows[-1][1]["clipped"] > 0)  # a norm clip changes all, zeros apart
        if step < the.steps:
            updates = optimizer.delta(clipped, rate)
            params, stats = {key: w + updates[key] for key, w in params.items()}, back.stats
    return params, stats, rows, np.array(found)


@pytest.fixture(scope="module")
def exact():
    """The chunks of a float64 run and the same run by hand."""
    with jax.enable_x64(True):
        the, given = recipe(*EXACT), task()
        run = load_run(prepare(the, lambda _: given))
        start = compile_run(run).start(run.seeds, run.numbers, run.data)
        first = [
            tree({path: value[0] for path, value in part.items()}) for part in (start.params, start.stats)
        ]
        chunks = list(train(run))
        return run, chunks, by_hand(the, given, *first, seed=0)


def test_twelve_steps_in_float64_end_where_the_reference_ends(exact):
    _, chunks, (params, stats, _, _) = exact
    end = chunks[-1].state
    for wanted, found in ((params, end.params), (stats, end.stats)):
        for path, value in wanted.items():
            assert found[path].dtype == np.float64
            np.testing.assert_allclose(np.asarray(found[path])[0], value, rtol=1e-9, atol=1e-12, err_msg=path)


def test_every_row_of_a_run_is_the_reference_s(exact):
    run, chunks, (_, _, rows, _) = exact
    batches = [chunk for chunk in chunks if chunk.source == "batch"]
    assert np.concatenate([chunk.steps for chunk in batches]).tolist() == list(range(13))
    layers, steps = (
        {
            name: np.concatenate([unpack(run.layout.columns, chunk.row)[part][name][0] for chunk in batches])
            for name in unpack(run.layout.columns, batches[0].row)[part]
        }
        for part in ("layers", "steps")
    )
    for step, (signals, said) in enumerate(rows):
        for column, values in signals.items():
            found = layers[column][step]
            kept = ~np.isnan(values)
            np.testing.assert_allclose(found[kept], values[kept], rtol=2e-6, atol=2e-6, err_msg=column)
        for column, value in said.items():  # the columns are float32
            if step < 12 or column != "learning_rate":
                assert steps[column][step] == pytest.approx(value, rel=2e-6, abs=2e-6), column


def test_evaluations_use_the_running_statistics_and_all_examples(exact):
    _, chunks, (*_, wanted) = exact
    found = [chunk.evaluation[0] for chunk in chunks if chunk.evaluation is not None]
    np.testing.assert_allclose(np.array(found)[:, [0, 1, 4, 5]], wanted, rtol=1e-6)  # losses and accuracies


def test_the_fixed_batch_is_the_first_training_examples_at_every_evaluation(exact):
    run, chunks, _ = exact
    probes = [chunk for chunk in chunks if chunk.source == "probe"]
    assert [chunk.steps.tolist() for chunk in probes] == [[0], [4], [8], [12]]
    given, last = run.task, probes[-1]
    params, stats = (
        tree({k: v[0] for k, v in part.items()}) for part in (last.state.params, last.state.stats)
    )
    wanted = network(run.recipe, params, stats, given.train_x[:BATCH], given.train_y[:BATCH])
    assert step_values(last, run.layout)["loss"][0, 0] == pytest.approx(wanted.loss, rel=1e-6)


SAME = (
    "activation=relu",
    "normalization=layer",
    "clip=norm",
    "penalty=l2",
    "dropout=0.1",
    "probe=[backward,preactivation]",
    "steps=12",
    "eval.every=6",
    "lr=0.3",
)


def trained(*words):
    return list(train(load_run(prepare(recipe(*SAME, *words), lambda _: task()))))


@pytest.fixture(scope="module")
def three():
    return trained("seeds=3", "seed=4")


@pytest.fixture(scope="module")
def alone():
    return {seed: trained(f"seed={seed}") for seed in (4, 5, 6)}


def bits(tree, index):
    return [np.asarray(leaf)[index].tobytes() for leaf in jax.tree.leaves(tree)]


def test_a_seed_among_others_has_the_bits_of_a_lone_run(three, alone):
    for index, seed in enumerate((4, 5, 6)):
        for together, single in zip(three, alone[seed], strict=True):
            assert bits(together.state, index) == bits(single.state, 0), (seed, together.steps_done)
            assert bits(together.row, index) == bits(single.row, 0)
            if single.evaluation is not None:
                assert together.evaluation[index].tobytes() == single.evaluation[0].tobytes()


def test_seeds_differ(alone):
    losses = {chunks[1].row.steps[0].tobytes() for chunks in alone.values()}
    assert len(losses) == 3


def test_the_same_seed_again_gives_the_same_bits(alone):
    for once, again in zip(alone[5], trained("seed=5"), strict=True):
        assert bits((once.state, once.row), 0) == bits((again.state, again.row), 0)


def test_logging_less_changes_no_bit_of_the_training(alone):
    rare = trained("log.every=10", "seed=4")
    assert [chunk.steps.tolist() for chunk in rare if chunk.source == "batch"] == [[0], [6, 10], [12]]
    assert bits(rare[-1].state, 0) == bits(alone[4][-1].state, 0)
    full = {
        step: chunk.row.layers[0, i]
        for chunk in alone[4]
        if chunk.source == "batch"
        for i, step in enumerate(chunk.steps)
    }
    for chunk in rare:
        if chunk.source == "batch":
            for i, step in enumerate(chunk.steps):
                assert chunk.row.layers[0, i].tobytes() == full[step].tobytes()
