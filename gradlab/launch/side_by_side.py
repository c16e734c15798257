"""Runs of equal structure side by side in one program: what makes many runs fast on an accelerator.

Each run keeps its own folder, its rows and its end. One that ends before the others goes on in the program, and nothing
of it is stored any more. The last bits of a number differ from those of a run alone, as those of several seeds do.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from gradlab.engine.loop import LoadedRun, compile_run, load_run, side_by_side, train
from gradlab.engine.prepare import PreparedRun, run_folder
from gradlab.engine.seed_programs import ChunkKind
from gradlab.launch import machine
from gradlab.launch.run import (
    Outcome,
    Refused,
    Result,
    begin,
    data_summary,
    locked_folder,
    new_writer,
    refusal,
)
from gradlab.launch.run_writer import WRITE_SECONDS, End, RunWriter
from gradlab.launch.training import Clock, Training, interrupt
from gradlab.recipe import signals
from gradlab.recipe.errors import RecipeError, StorageError
from gradlab.recipe.recipe import Recipe, structure
from gradlab.store import write

MOST_LANES = 256  # seeds of all runs in one program


def slices(recipes: Sequence[Recipe]) -> list[list[int]]:
    """The indices of the recipes that one program can train side by side, at most so many that it has MOST_LANES seeds.

    They have equal structures, data, steps and snapshots, and nothing is stored of them. All others are alone.
    """
    groups: dict[Any, list[list[int]]] = {}
    for index, recipe in enumerate(recipes):
        key = (structure(recipe), str(recipe.data), recipe.steps, str(recipe.snapshots))
        fresh = recipe.force or not write.has_rows(run_folder(recipe))
        parts = groups.setdefault(key if fresh else index, [[]])
        if (len(parts[-1]) + 1) * recipe.seeds > MOST_LANES and parts[-1]:
            parts.append([])
        parts[-1].append(index)
    return [part for parts in groups.values() for part in parts]


@dataclass
class Lane:
    """A run among others: the part of the leading axis that is its seeds, and how it has ended."""

    prepared: PreparedRun
    run: LoadedRun
    writer: RunWriter
    part: slice = field(default_factory=lambda: slice(0, 0))
    training: Training | None = None
    end: End | None = None


def launch_side_by_side(runs: Sequence[PreparedRun], time_limit: float = 0.0) -> list[Result]:
    """What `launch` does for one run, for several of one of the `slices`; a failure of one is its own.

    Raises:
        RuntimeError: the program fails, as where the device has not enough memory; no row is stored.
        Stop: a signal came before anything was written.
    """
    deadline = time.monotonic() + time_limit if time_limit else math.inf
    machine.prepare()
    memory_key = machine.reset_peak_memory()
    results: list[Result | Lane] = []
    with signals.collected() as caught, machine.compilation_cache() as faults, ExitStack() as locks:
        with machine.device(runs[0].recipe) as device:
            for prepared in runs:
                signals.check()
                results.append(_opened(prepared, device, memory_key, locks))
            lanes = [result for result in results if isinstance(result, Lane)]
            _train(lanes, Clock(caught, time_limit, deadline))
        return [_result(result, machine.notice(faults)) for result in results]


def _opened(prepared: PreparedRun, device: Any, memory_key: str, locks: ExitStack) -> Lane | Refused:
    """A run whose folder is locked from now on."""
    try:
        run = load_run(prepared)
        facts = machine.facts(prepared.recipe, device) | {"data": data_summary(prepared.recipe, run.task)}
        locks.enter_context(locked_folder(prepared.recipe))
        return Lane(prepared, run, new_writer(prepared, facts, memory_key, WRITE_SECONDS))
    except (RecipeError, StorageError) as error:
        return refusal(error)


def _result(result: Lane | Result, notice: str) -> Result:
    if not isinstance(result, Lane):
        return result
    assert result.end is not None
    return Outcome(result.prepared.folder, *result.end, notice=notice)


def _train(lanes: list[Lane], clock: Clock) -> None:
    """Train the runs, and end each."""
    if not lanes:
        return
    together = side_by_side([lane.run for lane in lanes])
    began = time.perf_counter()
    programs = compile_run(together)
    state = programs.start(jnp.asarray(together.seeds), together.numbers, together.data)
    jax.block_until_ready(state)
    seconds, first = time.perf_counter() - began, 0
    for lane in lanes:
        lane.part = slice(first, first := first + len(lane.run.seeds))
        share = len(lane.run.seeds) / together.lanes
        flops = programs.flops_per_step and round(programs.flops_per_step * share)
        _guarded(lane, _begin, state, seconds * share, flops)
    for chunk in () if clock.reason else train(together, (0, state)):
        for lane in lanes:
            if lane.end is None:
                _guarded(lane, _take, chunk)
        waiting = [lane for lane in lanes if lane.end is None]
        if not waiting or (clock.reason and chunk.kind is not ChunkKind.FIXED_BATCH):
            break
    for lane in lanes:
        if lane.end is None:
            _guarded(lane, _interrupt, clock.reason)


def _guarded(lane: Lane, act: Callable[..., None], *arguments: Any) -> None:
    """Do something for one run; what it raises is the failure of this run."""
    try:
        act(lane, *arguments)
    except BaseException as error:  # a user's function may raise anything
        if signals.is_request(error):
            raise
        lane.end = lane.writer.fail(error)


def _begin(lane: Lane, state: Any, compile_seconds: float, flops_per_step: int | None) -> None:
    begin(lane.writer, lane.prepared.recipe)
    own = jax.tree.map(lambda leaf: leaf[lane.part], state)
    lane.training = Training(lane.run.recipe, lane.run, lane.writer, own)
    lane.training.begin(compile_seconds, flops_per_step)


def _take(lane: Lane, chunk: Any) -> None:
    assert lane.training is not None
    lane.training.take(chunk.lanes(lane.part))
    if lane.training.complete:
        lane.end = lane.training.end("")


def _interrupt(lane: Lane, reason: str) -> None:
    lane.end = lane.training.end(reason) if lane.training else interrupt(lane.writer, reason)
