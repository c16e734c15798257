"""A block as a program of its own: what it reads, how it is run, and when two of them are the same."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, DebugInfo, Jaxpr, Var, jaxpr_as_fun

from gradlab.nn import module_names
from gradlab.nn.cuts import Block
from gradlab.nn.equations import Atom, Equation, Trace, dtype_of, is_key, shape_of
from gradlab.numerics.tree import Tree


class Program:
    """The equations of one block: (parameters, statistics, signal, inputs, keys) -> outputs.

    Parameters and statistics are by their paths within the block's module. `signal` is what the block before returns,
    None for a first block that reads inputs only; `outputs` are the block's own signal and its new statistics (or other
    results), `stats` the paths of these statistics.
    """

    def __init__(
        self,
        trace: Trace,
        block: Block,
        signal: Atom | None,
        outputs: Sequence[Atom],
        stats: Sequence[str] = (),
    ) -> None:
        self.trace, self.block, self.signal = trace, block, signal
        self.outputs = list(outputs)
        # what depends on neither parameters nor the signal is computed again here, but for random keys
        self.equations = trace.needed(outputs, lambda var: var is signal or is_key(trace, var))
        atoms = [*(var for equation in self.equations for var in equation.inputs), *outputs]
        read = dict.fromkeys(atom for atom in atoms if isinstance(atom, Var))
        self.keys = [var for var in read if is_key(trace, var)]
        self.parameter_paths = self._local(path for path, var in trace.parameters.items() if var in read)
        self.stat_paths = self._local(
            path for path, var in trace.stats.items() if var in read or path in stats
        )
        self.new_stats = [self.local(path) for path in stats]
        self.inputs = [
            index
            for index, var in enumerate(trace.inputs)
            if var in read and var is not signal and not is_key(trace, var)
        ]
        self.constants = [var for var in trace.constants if var in read]

    def _local(self, paths: Iterable[str]) -> dict[str, str]:
        """The paths by those within the block's module."""
        return dict(sorted((self.local(path), path) for path in paths))

    def local(self, path: str) -> str:
        """A parameter's path within the block's module."""
        start, parts = self.block.module, module_names.components(path)
        return "/".join(parts[len(start) :] if parts[: len(start)] == start else parts) or "value"

    @property
    def keeps_shape(self) -> bool:
        """Whether its signal has the shape and the dtype of its input."""
        if self.signal is None:
            return False
        before, after = self.signal, self.outputs[0]
        return shape_of(before) == shape_of(after) and bool(dtype_of(before) == dtype_of(after))

    @cached_property
    def jaxpr(self) -> ClosedJaxpr:
        """The program as a function of (constants, parameters, statistics, inputs, keys, signal), flat."""
        arguments: list[Any] = [
            *self.constants,
            *(self.trace.parameters[path] for path in self.parameter_paths.values()),
            *(self.trace.stats[path] for path in self.stat_paths.values()),
            *(self.trace.inputs[index] for index in self.inputs),
            *self.keys,
            *([] if self.signal is None else [self.signal]),
        ]
        return closed(arguments, self.outputs, self.equations)

    def __call__(
        self, params: Tree, stats: Tree, signal: Any, inputs: Sequence[Any], keys: Sequence[Array]
    ) -> list[Any]:
        """The outputs; `inputs` are all of the network's."""
        given = [
            *(self.trace.constants[var] for var in self.constants),
            *(params[path] for path in self.parameter_paths),
            *(stats[path] for path in self.stat_paths),
            *(inputs[index] for index in self.inputs),
            *keys,
            *([] if self.signal is None else [signal]),
        ]
        return list(jaxpr_as_fun(self.jaxpr)(*given))

    @cached_property
    def identity(self) -> tuple[Any, ...]:
        """Equal for programs that compute the same from parameters of equal shapes."""
        constants = tuple(np.asarray(self.trace.constants[var]).tobytes() for var in self.constants)
        places = (
            *self.parameter_paths,
            None,
            *self.stat_paths,
            None,
            *self.new_stats,
            None,
            *self.inputs,
            len(self.keys),
        )
        return (places, constants, self.text)

    @cached_property
    def text(self) -> str:
        """Its equations as text, with variables named in order of their use."""
        return _printed(self.jaxpr)

    @cached_property
    def gradient_identity(self) -> str:
        """The same of its gradient, where it holds functions that may have a derivative of their own."""
        if "custom_" not in self.text:
            return ""
        fun: Callable[..., list[Any]] = jaxpr_as_fun(self.jaxpr)
        floats = [jnp.issubdtype(var.aval.dtype, jnp.inexact) for var in self.jaxpr.jaxpr.invars]

        def pull(arguments: list[Any], cotangents: list[Any]) -> Any:
            def of_floats(*values: Any) -> list[Any]:
                rest = iter(values)
                return fun(*(next(rest) if real else x for real, x in zip(floats, arguments, strict=True)))

            real = [x for is_real, x in zip(floats, arguments, strict=True) if is_real]
            return jax.vjp(of_floats, *real)[1](cotangents)

        shapes = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in self.jaxpr.jaxpr.invars]
        outputs = jax.eval_shape(fun, *shapes)
        return _printed(jax.make_jaxpr(pull)(shapes, outputs))


def _printed(jaxpr: ClosedJaxpr) -> str:
    return str(jaxpr.jaxpr.pretty_print(source_info=False, name_stack=False, use_color=False))


def evaluated(trace: Trace, wanted: Sequence[Var], inputs: Sequence[Any]) -> list[Any]:
    """The values of variables that depend on nothing but the inputs, as random keys that are made of one of these."""
    if not wanted:
        return []
    run = jaxpr_as_fun(closed([*trace.constants, *trace.inputs], wanted, trace.needed(wanted)))
    return list(run(*trace.constants.values(), *inputs))


def closed(arguments: list[Any], outputs: Sequence[Any], equations: Sequence[Equation]) -> ClosedJaxpr:
    """Equations as a function of these arguments."""
    names = tuple(f"argument{index}" for index in range(len(arguments)))
    results = tuple(f"result{index}" for index in range(len(outputs)))
    info = DebugInfo("jit", "gradlab block", names, results)
    eqns = [equation.eqn for equation in equations]
    return ClosedJaxpr(Jaxpr((), arguments, list(outputs), eqns, debug_info=info), ())


def fresh_keys(program: Program, key: Array) -> list[Array]:
    """Random keys from a stream of the program's own, in the place of those that its network would have made."""
    return [_fresh(var, jax.random.fold_in(key, index)) for index, var in enumerate(program.keys)]


def _fresh(var: Var, stream: Array) -> Array:
    if jnp.issubdtype(dtype_of(var), jax.dtypes.prng_key):
        return stream if shape_of(var) == () else jax.random.split(stream, shape_of(var))
    shape = shape_of(var)[:-1]
    return jax.random.key_data(stream if shape == () else jax.random.split(stream, shape))
