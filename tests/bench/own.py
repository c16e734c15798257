"""Networks of one's own: what it costs to find their blocks, and to measure in a loop of one's own."""

import time

import jax
import jax.numpy as jnp

import gradlab
from tests.models import test_found_blocks as kinds
from tests.own.test_measure import plain_loss

STEPS = 100


def report() -> None:
    """Print the CPU seconds of a first profile of each kind of module ÷ those of a list, and of measured steps."""
    of_list = _profile("list")
    print(f"a first profile of 30 blocks as a list: {of_list:.2f} CPU s")
    for kind in kinds.KINDS:
        print(f"  {kind}: {_profile(kind) / of_list:.2f} of the list's (≤ 1.5)")
    for width, batch in ((64, 64), (256, 64)):
        _measured(width, batch)


def _profile(kind: str) -> float:
    """The second of two, because the first one in a process pays for others."""
    for _ in range(2):
        jax.clear_caches()
        start = time.process_time()
        if kind == "list":
            kinds.reference(kinds.weights())
        else:
            network, params = kinds.KINDS[kind][0](kinds.weights())
            gradlab.profile(network, kinds.x(), kinds.loss, params=params)
        took = time.process_time() - start
    return took


def _measured(width: int, batch: int, depth: int = 50) -> None:
    """A step of `jax.value_and_grad` and one of `gradlab.measure`, in alternation."""
    keys = jax.random.split(jax.random.key(0), depth)
    params = [(jax.random.orthogonal(key, width), jnp.zeros(width)) for key in keys]
    x, y = jax.random.normal(jax.random.key(1), (batch, width)), jnp.arange(batch) % 10
    steps = {
        "usual": jax.jit(jax.value_and_grad(plain_loss)),
        "measured": jax.jit(gradlab.measure(plain_loss)),
        "written out": jax.jit(gradlab.measure(plain_loss, stack=False)),
    }
    took = dict.fromkeys(steps, float("inf"))
    compiled = {}
    for name, step in steps.items():
        start = time.process_time()
        jax.block_until_ready(step(params, x, y))
        compiled[name] = time.process_time() - start
    for _ in range(5):
        for name, step in steps.items():
            start = time.process_time()
            for _ in range(STEPS):
                jax.block_until_ready(step(params, x, y))
            took[name] = min(took[name], (time.process_time() - start) / STEPS)
    print(
        f"depth {depth}, width {width}, batch {batch}: a usual step {1e3 * took['usual']:.2f} ms, compiled in"
    )
    print(f"  {compiled['usual']:.1f} CPU s; ÷ the usual step, and CPU s of compilation:")
    for name in ("measured", "written out"):
        print(f"  {name}: {took[name] / took['usual']:.2f}, {compiled[name]:.1f}")
