"""Activations that end the process that trains with them, each in its way, as a user's may."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np


def _called(act):
    """tanh that calls `act` on the host when it is first evaluated in a training that has begun."""

    def call(z):
        act()
        return np.tanh(z)

    @jax.custom_jvp
    def phi(z):
        return jax.pure_callback(call, jax.ShapeDtypeStruct(z.shape, z.dtype), z, vmap_method="sequential")

    @phi.defjvp
    def _(primals, tangents):
        value = phi(*primals)
        return value, (1 - value**2) * tangents[0]

    return phi


def _raise():
    raise ValueError("not today")


raises = _called(_raise)
exits = _called(lambda: sys.exit(3))
ends = _called(lambda: os._exit(7))
killed = _called(lambda: os.kill(os.getpid(), signal.SIGKILL))
hangs = _called(lambda: time.sleep(1000))


def _once(name, act):
    """`act`, the first time in this folder only."""

    def called():
        if not Path(name).exists():
            Path(name).touch()
            act()

    return called


killed_once = _called(_once("killed", lambda: os.kill(os.getpid(), signal.SIGKILL)))
stopped_once = _called(_once("stopped", lambda: os.kill(os.getpid(), signal.SIGTERM)))


def aborts(z):
    """While the network is built."""
    os.abort()


def unbuildable(z):
    """No network can be built with it."""
    raise TypeError("no network")


def infinite(z):
    """Not finite from the first step on."""
    return jnp.tanh(z) * jnp.inf


def _fill_memory():
    """As where there is no more of it."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, resource.RLIM_INFINITY))
    np.ones(2**36)


def _fill_disk():
    """As where no file may grow: Python ignores the signal."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


takes_memory = _called(_fill_memory)
takes_disk = _called(_fill_disk)
