"""What the probes of the step take, told by a profile of measured steps: XLA names operations after their probe."""

import math
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np

from gradlab.engine.compiled import Programs
from gradlab.engine.loop import LoadedRun, after_steps
from gradlab.engine.seed_programs import ChunkKind, is_measured
from gradlab.engine.update import TrainState
from gradlab.numerics.taps import SCOPE

CALLS, STEPS = 3, 2  # calls of the program in a profile, and steps in each
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = ")
_OPERATION = re.compile(r'op_name="([^"]*)"')
_CALLED = re.compile(r"\bcalls=%?([\w.-]+)")
_PROBE = re.compile(rf"{SCOPE}([\w.:-]+)")
Shares = dict[str, float]  # of an instruction's time, by probe


class Event(NamedTuple):
    """An instruction in a profile, in nanoseconds."""

    start: float
    duration: float
    name: str


def seconds_of_run(run: LoadedRun, programs: Programs, state: TrainState, done: int) -> dict[str, float]:
    """The seconds that each probe of the step has taken in `done` steps, about; none where that cannot be told.

    state: any, of which copies are trained. Step 0 and those after it are made, so that each probe is due once or more.
    """
    if next(iter(run.data.train_x.devices())).platform != "cpu":
        return {}  # kernels of an accelerator do not carry these names
    window = min(STEPS, run.length)
    compiled: Any = programs.chunk
    steps = partial(after_steps, run, programs, state, window)
    taken = seconds_of_probes(steps, partial(after_steps, run, programs, state, 0), compiled.as_text())
    rows = np.arange(done + 1)
    rows = rows[is_measured(run.recipe, rows, ChunkKind.STEPS.value)]
    evaluations = np.sum(rows % run.recipe.eval.every == 0)
    every = {key: part.get("every", 1) for key, part in run.recipe.probes.items()}
    seconds = {}
    for key in taken.keys() & every.keys():
        times = np.sum(rows % every[key] == 0) + evaluations
        seconds[key] = float(taken[key] / -(-window // every[key]) * times)
    return seconds


def seconds_of_probes(steps: Callable[[], Any], nothing: Callable[[], Any], program: str) -> dict[str, float]:
    """The seconds that each probe takes in one call of `steps`, whose compiled program has this text.

    `nothing` calls the program to make no step: what that takes is not the steps'. Noting an instruction takes time,
    too: by as much each of them is taken to be shorter as makes the sum that of a call without a profile. An
    instruction that XLA has fused of several belongs to their probes by their number.
    """
    shares = instruction_shares(program)
    plain = _seconds(steps) - _seconds(nothing)
    durations: dict[str, list[float]] = defaultdict(list)
    for line in _profiled(steps):
        for name, duration in self_times(event for event in line if event.name in shares):
            durations[name].append(duration)
    # by the median, which another process that interrupts one of them does not move
    usual = {name: median(values) for name, values in durations.items()}
    count = sum(map(len, durations.values()))
    total = sum(usual[name] * len(values) for name, values in durations.items())
    excess = max(0.0, total - CALLS * plain * 1e9) / max(1, count)
    seconds: dict[str, float] = defaultdict(float)
    for name, values in durations.items():
        for probe, share in shares[name].items():
            seconds[probe] += share * max(0.0, usual[name] - excess) * len(values) / CALLS / 1e9
    return dict(seconds)


def instruction_shares(program: str) -> dict[str, Shares]:
    """For each instruction of a compiled program, which probes its time belongs to."""
    members: dict[str, list[str]] = defaultdict(
        list
    )  # of a computation: the probe of each instruction, "" for none
    instructions: dict[str, tuple[str, str]] = {}  # its own probe, and the computation that it calls
    computation = ""
    for line in program.splitlines():
        if begins := _COMPUTATION.match(line):
            computation = begins[1]
        elif found := _INSTRUCTION.match(line):
            operation, called = _OPERATION.search(line), _CALLED.search(line)
            probes = _PROBE.findall(operation[1]) if operation else []
            own = probes[-1] if probes else ""
            if operation:
                members[computation].append(own)
            instructions[found[1]] = (own, called[1] if called else "")
    return {name: _shares(own, members.get(called, [])) for name, (own, called) in instructions.items()}


def _shares(own: str, fused: list[str]) -> Shares:
    counts = Counter(fused or [own])
    return {probe: count / counts.total() for probe, count in counts.items() if probe}


def self_times(events: Iterable[Event]) -> Iterator[tuple[str, float]]:
    """The events of one thread with the time in each that is in no other inside it."""
    open_events: list[tuple[Event, float]] = []  # with the time of those inside
    for event in sorted(events, key=lambda event: (event.start, -event.duration)):
        while open_events and event.start >= open_events[-1][0].start + open_events[-1][0].duration:
            yield _closed(open_events)
        open_events.append((event, 0.0))
    while open_events:
        yield _closed(open_events)


def _closed(open_events: list[tuple[Event, float]]) -> tuple[str, float]:
    event, inside = open_events.pop()
    if open_events:
        outer, others = open_events[-1]
        open_events[-1] = outer, others + event.duration
    return event.name, event.duration - inside


def _seconds(call: Callable[[], Any]) -> float:
    """What a call takes, the shortest of some."""
    shortest = math.inf
    for _ in range(CALLS):
        began = time.perf_counter()
        jax.block_until_ready(call())
        shortest = min(shortest, time.perf_counter() - began)
    return shortest


def _profiled(call: Callable[[], Any]) -> list[list[Event]]:
    """The events of each thread during some calls."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            for _ in range(CALLS):
                jax.block_until_ready(call())
        (file,) = Path(folder).glob("**/*.xplane.pb")
        profile = jax.profiler.ProfileData.from_file(str(file))
        return [
            [Event(event.start_ns, event.duration_ns, event.name) for event in line.events]
            for plane in profile.planes
            for line in plane.lines
        ]
