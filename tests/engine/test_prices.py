"""What probes take: a profile's times by the names of XLA's instructions, and the rows in which a probe is due."""

import time

import jax
import jax.numpy as jnp
import pytest

from gradlab.engine import prices
from gradlab.engine.loop import compile_run, load_run
from gradlab.engine.prepare import prepare
from gradlab.engine.prices import Event, instruction_shares, self_times
from gradlab.report.summary import prices as sentence
from tests.recipes import TINY, recipe

PROGRAM = """\
HloModule jit_chunk

%fused_computation.1 (p: f32[8]) -> f32[] {
  %p = f32[8]{0} parameter(0)
  %multiply.1 = f32[8]{0} multiply(%p, %p), metadata={op_name="jit(chunk)/while/body/probe=cosine/mul"}
  %add.1 = f32[8]{0} add(%multiply.1, %p), metadata={op_name="jit(chunk)/while/body/add"}
  ROOT %reduce.1 = f32[] reduce(%add.1), metadata={op_name="jit(chunk)/while/body/probe=cosine/reduce_sum"}
}

ENTRY %main (x: f32[8]) -> f32[] {
  %x = f32[8]{0} parameter(0)
  %sqrt.2 = f32[8]{0} sqrt(%x), metadata={op_name="jit(chunk)/transpose(probe=weight 1)/sqrt"}
  ROOT %fusion.7 = f32[] fusion(%sqrt.2), kind=kLoop, calls=%fused_computation.1, metadata={op_name="jit(chunk)/add"}
}
"""


def test_a_fused_instruction_belongs_to_the_probes_of_its_parts():
    shares = instruction_shares(PROGRAM)
    assert shares["fusion.7"] == {"cosine": pytest.approx(2 / 3)}
    assert shares["sqrt.2"] == {"weight": 1.0}  # "weight 1" is the second probe of that name
    assert shares["add.1"] == {}


def test_the_time_of_an_event_is_that_outside_the_events_in_it():
    events = [Event(0, 100, "while"), Event(10, 30, "dot"), Event(15, 5, "add"), Event(60, 40, "dot")]
    times = list(self_times(events))
    assert sorted(times) == [("add", 5), ("dot", 25), ("dot", 40), ("while", 30)]
    assert sum(duration for _, duration in times) == 100


def test_a_dear_probe_takes_most_of_a_program():
    @jax.jit
    def program(x):
        with jax.named_scope("probe=dear"):
            dear = x
            for _ in range(40):
                dear = jnp.sin(dear @ x)
        with jax.named_scope("probe=cheap"):
            cheap = jnp.sum(x)
        return dear.sum() + cheap

    x = jnp.ones((300, 300))
    compiled = program.lower(x).compile()
    compiled(x).block_until_ready()
    seconds = prices.seconds_of_probes(lambda: compiled(x), lambda: x, compiled.as_text())
    began = time.perf_counter()
    compiled(x).block_until_ready()
    whole = time.perf_counter() - began
    assert seconds["dear"] > 10 * seconds.get("cheap", 0)
    assert seconds["dear"] > 0.2 * whole


def test_a_run_s_probes_are_counted_in_the_rows_in_which_they_are_due():
    """Of a probe that is due at each step there are as many rows as steps, evaluations and the last row."""
    run = load_run(prepare(recipe(*TINY, "probes.cosine.every=4")))
    programs = compile_run(run)
    state = programs.start(run.seeds, run.numbers, run.data)
    seconds = prices.seconds_of_run(run, programs, state, 8)
    assert seconds.keys() <= run.recipe.probes.keys()
    assert {"gradient", "weight"} & seconds.keys()


def test_the_price_is_told_in_one_line():
    status = {"seconds": 4.0, "compile_seconds": 2.0, "probe_seconds": {"a": 0.02, "b": 0.5, "c": 1e-5}}
    assert sentence(status) == "26 % of the 2.0 s after compiling: b 25 %, a 1 %"
    assert sentence(status | {"probe_seconds": {}}) == ""
    assert sentence({"seconds": 1.0, "compile_seconds": 1.0, "probe_seconds": {"a": 1.0}}) == ""
