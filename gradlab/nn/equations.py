"""A function as one flat list of equations, and what each value in it depends on.

JAX's trace of a function (its jaxpr) has a nested list of equations; here the nested calls of `jax.jit` are part of the
one list. A value may depend on parameters, on inputs and on random keys; a value that depends on parameters *and*
inputs is part of the signal.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Flag
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun

from gradlab.recipe.errors import RecipeError

Atom = Var | Literal
_MARK = re.compile(r"gradlab\.block\((.*?)\)")
MOST_LAYERS = 512  # of a scan over parameters that is written out
_CALLS = ("jit", "pjit", "closed_call", "core_call")


class Source(Flag):
    """What a value depends on."""

    NOTHING = 0
    PARAMETERS = 1
    INPUTS = 2
    KEY = 4


SIGNAL = Source.PARAMETERS | Source.INPUTS


class Equation(NamedTuple):
    """One equation; block: the name that `gradlab.block` gives it, or empty."""

    eqn: JaxprEqn
    block: str

    @property
    def inputs(self) -> list[Var]:
        """The variables that it reads."""
        return [atom for atom in self.eqn.invars if isinstance(atom, Var)]


@dataclass(frozen=True, eq=False)
class Trace:
    """A traced function: its equations, its arguments by name of their leaves, its outputs."""

    equations: list[Equation]
    parameters: dict[str, Var]  # by path
    stats: dict[str, Var]  # by path: values that the function may change
    inputs: list[Var]
    key: Var
    outputs: list[Atom]
    new_stats: dict[str, Atom]  # by path
    constants: dict[Var, Any]
    sources: dict[Var, Source]

    def source(self, atom: Atom) -> Source:
        """What a value depends on."""
        return self.sources[atom] if isinstance(atom, Var) else Source.NOTHING

    def is_signal(self, atom: Atom) -> bool:
        """Whether it depends on parameters and on inputs."""
        return SIGNAL in self.source(atom)

    @cached_property
    def signal(self) -> list[Equation]:
        """The equations whose results depend on parameters and on inputs."""
        return [equation for equation in self.equations if self.is_signal(equation.eqn.outvars[0])]

    @cached_property
    def _made_by(self) -> dict[Var, int]:
        return {var: index for index, equation in enumerate(self.equations) for var in equation.eqn.outvars}

    def maker(self, var: Var) -> Equation | None:
        """The equation that computes a variable; None for an argument or a constant."""
        index = self._made_by.get(var)
        return None if index is None else self.equations[index]

    def needed(
        self, wanted: Iterable[Atom], is_given: Callable[[Var], bool] = lambda var: False
    ) -> list[Equation]:
        """The equations that compute these values, in order; what is given is not computed."""
        chosen: set[int] = set()
        waiting = [atom for atom in wanted if isinstance(atom, Var)]
        while waiting:
            var = waiting.pop()
            index = self._made_by.get(var)
            if index is not None and index not in chosen and not is_given(var):
                chosen.add(index)
                waiting += self.equations[index].inputs
        return [self.equations[index] for index in sorted(chosen)]

    @cached_property
    def _roots(self) -> dict[Var, frozenset[Var]]:
        roots: dict[Var, frozenset[Var]] = {}
        for equation in self.equations:
            if not self.is_signal(equation.eqn.outvars[0]):
                joined = frozenset[Var]().union(*(roots.get(var, {var}) for var in equation.inputs))
                roots |= dict.fromkeys(equation.eqn.outvars, joined)
        return roots

    def roots(self, var: Var) -> frozenset[Var]:
        """The arguments and constants behind a value that is no signal."""
        return self._roots.get(var, frozenset({var}))

    @cached_property
    def _paths(self) -> dict[Var, str]:
        return {var: path for path, var in (*self.parameters.items(), *self.stats.items())}

    def used_by(self, equations: Iterable[Equation]) -> set[str]:
        """The paths of the parameters and statistics that these equations of the signal need."""
        read = {var for equation in equations for var in equation.inputs if not self.is_signal(var)}
        return {self._paths[root] for var in read for root in self.roots(var) if root in self._paths}


def block(name: str) -> Any:
    """A context manager: what is computed inside is one block of the network, under this name.

    For a network whose blocks gradlab does not find by itself:

    >>> def network(params, x):
    ...     for index, w in enumerate(params):
    ...         with gradlab.block(f"layer {index}"):
    ...             x = jnp.tanh(x @ w)
    ...     return x
    """
    return jax.named_scope(f"gradlab.block({name})")


def trace(
    function: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
    parameters: dict[str, Any],
    stats: dict[str, Any],
    inputs: Sequence[Any],
    key: Any,
) -> Trace:
    """The equations of `function(parameters, stats, inputs, key) -> (outputs, stats)`, all by path or in a list.

    Arguments may be arrays or their shapes. Equations whose results nobody uses are left out.

    Raises:
        RecipeError: the function has side effects.
    """
    closed, (_, stats_after) = jax.make_jaxpr(function, return_shape=True)(
        parameters, stats, list(inputs), key
    )
    _require_purity(closed)
    jaxpr = closed.jaxpr
    variables = [_renamed(var) for var in jaxpr.invars]
    # a dict's leaves come in the order of its sorted keys
    sizes = [len(parameters), len(stats), len(list(inputs)), 1]
    groups = [variables[sum(sizes[:index]) : sum(sizes[: index + 1])] for index in range(4)]
    kinds = (Source.PARAMETERS, Source.PARAMETERS, Source.INPUTS, Source.KEY)
    flat = _Flat({var: kind for kind, group in zip(kinds, groups, strict=True) for var in group})
    outputs = flat.add(jaxpr, closed.consts, variables, "")
    count = len(outputs) - len(stats_after)
    return Trace(
        equations=_used(flat.equations, outputs),
        parameters=dict(zip(sorted(parameters), groups[0], strict=True)),
        stats=dict(zip(sorted(stats), groups[1], strict=True)),
        inputs=groups[2],
        key=groups[3][0],
        outputs=outputs[:count],
        new_stats=dict(zip(sorted(stats_after), outputs[count:], strict=True)),
        constants=flat.constants,
        sources=flat.sources,
    )


def _require_purity(closed: ClosedJaxpr) -> None:
    if closed.effects:
        kinds = ", ".join(sorted({type(effect).__name__ for effect in closed.effects}))
        raise RecipeError(
            f"the network has side effects ({kinds}); leave out callbacks and prints (jax.debug.print) to measure it"
        )


class _Flat:
    """Equations in one list, with fresh variables: a jaxpr that is called twice has its equations twice.

    A `lax.scan` over parameters, as of the layers of a network, is written out.
    """

    def __init__(self, sources: dict[Var, Source]) -> None:
        self.equations: list[Equation] = []
        self.constants: dict[Var, Any] = {}
        self.sources = sources

    def add(
        self, jaxpr: Jaxpr, constants: Iterable[Any], arguments: Sequence[Atom], block: str
    ) -> list[Atom]:
        """The outputs of a jaxpr for these arguments; its equations are appended."""
        names: dict[Var, Atom] = dict(zip(jaxpr.invars, arguments, strict=True))
        for var, value in zip(jaxpr.constvars, constants, strict=True):
            names[var] = fresh = _renamed(var)
            self.constants[fresh] = value
            self.sources[fresh] = Source.NOTHING
        read: Callable[[Atom], Atom] = lambda atom: names[atom] if isinstance(atom, Var) else atom
        for eqn in jaxpr.eqns:
            marks = _MARK.findall(str(eqn.source_info.name_stack))
            inside = marks[-1] if marks else block
            given = [read(atom) for atom in eqn.invars]
            if (inner := self._inner(eqn, given)) is not None:
                results = self.add(inner.jaxpr, inner.consts, given, inside)
            else:
                results = self._append(eqn, given, inside)
            names |= dict(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _inner(self, eqn: JaxprEqn, given: list[Atom]) -> ClosedJaxpr | None:
        """What an equation stands for, where it is taken apart."""
        if eqn.primitive.name in _CALLS:
            inner: ClosedJaxpr = eqn.params["jaxpr"] if "jaxpr" in eqn.params else eqn.params["call_jaxpr"]
            return inner
        if eqn.primitive.name == "scan" and eqn.params["length"] <= MOST_LAYERS:
            scanned = given[eqn.params["num_consts"] + eqn.params["num_carry"] :]
            if any(self._source(atom) == Source.PARAMETERS for atom in scanned):
                return _written_out(eqn, given)
        return None

    def _source(self, atom: Atom) -> Source:
        return self.sources[atom] if isinstance(atom, Var) else Source.NOTHING

    def _append(self, eqn: JaxprEqn, given: list[Atom], block: str) -> list[Atom]:
        made = [_renamed(var) for var in eqn.outvars]
        self.equations.append(Equation(eqn.replace(invars=given, outvars=made), block))
        joined = Source.NOTHING
        for atom in given:
            joined |= self._source(atom)
        self.sources |= dict.fromkeys(made, joined)
        return list(made)


def _renamed(var: Var) -> Var:
    return Var(var.aval)


def _written_out(eqn: JaxprEqn, given: list[Atom]) -> ClosedJaxpr:
    """The steps of a `lax.scan`, one after the other."""
    body = jaxpr_as_fun(eqn.params["jaxpr"])
    consts, carried, length = (eqn.params[name] for name in ("num_consts", "num_carry", "length"))
    order = range(length)[::-1] if eqn.params["reverse"] else range(length)

    def steps(*values: Any) -> list[Any]:
        fixed, carry, scanned = values[:consts], values[consts : consts + carried], values[consts + carried :]
        outputs: dict[int, list[Any]] = {}
        for index in order:
            at_index = [jax.lax.index_in_dim(x, index, keepdims=False) for x in scanned]
            after = body(*fixed, *carry, *at_index)
            carry, outputs[index] = after[:carried], after[carried:]
        stacked = [jnp.stack(same) for same in zip(*(outputs[index] for index in range(length)), strict=True)]
        return [*carry, *stacked]

    shapes = [jax.ShapeDtypeStruct(shape_of(atom), dtype_of(atom)) for atom in given]
    written: ClosedJaxpr = jax.make_jaxpr(steps)(*shapes)
    return written


def _used(equations: list[Equation], outputs: list[Atom]) -> list[Equation]:
    """The equations that the outputs need."""
    needed = {atom for atom in outputs if isinstance(atom, Var)}
    kept = []
    for equation in reversed(equations):
        if needed.intersection(equation.eqn.outvars):
            kept.append(equation)
            needed.update(equation.inputs)
    return kept[::-1]


def is_key(trace: Trace, atom: Atom) -> bool:
    """Whether it is a random key: made of inputs and of the function's key alone."""
    source = trace.source(atom)
    if Source.PARAMETERS in source or source == Source.NOTHING:
        return False
    if jnp.issubdtype(dtype_of(atom), jax.dtypes.prng_key):
        return True
    return bool(source == Source.KEY and dtype_of(atom) == jnp.uint32 and shape_of(atom)[-1:] == (2,))


def shape_of(atom: Atom) -> tuple[int, ...]:
    """The shape of a value."""
    aval: Any = atom.aval
    return tuple(aval.shape)


def dtype_of(atom: Atom) -> Any:
    """The dtype of a value."""
    aval: Any = atom.aval
    return aval.dtype
