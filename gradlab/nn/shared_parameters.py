"""Parameters that several blocks use: the slices of stacked weights, tied weights. Each use becomes one of its own.

The layers of a network may share one array: `w[i]` in a loop, the arrays of a `lax.scan` over layers, an embedding
that is the output's kernel too. What a block reads of it is then taken for the block's own parameter, with a number in
its path: `layers/kernel` gives `layers/0/kernel`, `layers/1/kernel`, ….
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from jax.extend.core import Var, jaxpr_as_fun

from gradlab.nn import cuts, module_names
from gradlab.nn.cuts import Piece
from gradlab.nn.equations import Equation, Source, Trace
from gradlab.nn.module_names import Path
from gradlab.nn.programs import closed
from gradlab.numerics.tree import Tree

_SLICES = ("slice", "dynamic_slice")


class Uses(NamedTuple):
    """A trace in which every block has parameters of its own; made: from what each of the new ones is computed."""

    trace: Trace
    original: Trace
    made: dict[str, Var]  # by the path of a new parameter, a variable of the original trace

    def parameters(self, leaves: Tree) -> Tree:
        """The parameters of the new trace from those of the original one."""
        if not self.made:
            return leaves
        wanted = list(self.made.values())
        arguments = [*self.original.constants, *self.original.parameters.values()]
        run = jaxpr_as_fun(closed(arguments, wanted, self.original.needed(wanted)))
        given = [leaves[path] for path in self.original.parameters]
        values = run(*self.original.constants.values(), *given)
        return leaves | dict(zip(self.made, values, strict=True))


class _Use(NamedTuple):
    """Pieces in a row that read one parameter, or the same part of it; part: the variable that holds that part."""

    pieces: list[int]
    part: Var


def apart(trace: Trace, only_slices: bool = False) -> Uses:
    """The trace with a parameter for each use of a shared one.

    only_slices: leave what is no disjoint part of an array as it is, because the new parameters are to be trained.
    """
    pieces = cuts.pieces_of(trace)
    shared = {path: uses for path, uses in _uses(trace, pieces).items() if len(uses) > 1}
    if only_slices:
        shared = {path: uses for path, uses in shared.items() if _are_slices(trace, uses)}
    if not shared:
        return Uses(trace, trace, {})
    made: dict[str, Var] = {}
    fresh: dict[str, Var] = {}
    copies: dict[int, list[Equation]] = {}  # what stands in the place of an equation, by its identity
    for path, place in _places(shared).items():
        for number, use in enumerate(shared[path]):
            own = _numbered(path, place, number)
            made[own], fresh[own] = use.part, Var(use.part.aval)
            for piece in use.pieces:
                _rewrite(trace, pieces[piece].equations, use.part, fresh[own], copies)
    equations = [copy for equation in trace.equations for copy in copies.get(id(equation), [equation])]
    sources = {var: Source.PARAMETERS for copy in equations for var in copy.eqn.outvars} | trace.sources
    return Uses(
        replace(
            trace,
            equations=equations,
            parameters={**trace.parameters, **fresh},
            sources=sources | dict.fromkeys(fresh.values(), Source.PARAMETERS),
        ),
        trace,
        made,
    )


def _uses(trace: Trace, pieces: Sequence[Piece]) -> dict[str, list[_Use]]:
    """By path: the uses of each parameter that no other one is mixed with before it meets the signal."""
    names = {var: path for path, var in trace.parameters.items()}
    found: dict[str, list[_Use]] = {}
    mixed: set[str] = set()
    last_used = -1  # the last piece with any parameter
    for index, piece in enumerate(pieces):
        read: dict[str, set[Var]] = {}
        for equation in cuts.arrays_of(piece.equations):
            for var in equation.inputs:
                if trace.source(var) != Source.PARAMETERS:
                    continue
                paths = {names[root] for root in trace.roots(var) if root in names}
                mixed |= paths if len(paths) > 1 else set()
                for path in paths:
                    read.setdefault(path, set()).add(_part(trace, var))
        for path, parts in read.items():
            uses = found.setdefault(path, [])
            mixed |= {path} if len(parts) > 1 else set()
            part = next(iter(parts))
            if uses and uses[-1].part is part and uses[-1].pieces[-1] == last_used:
                uses[-1].pieces.append(index)
            else:
                uses.append(_Use([index], part))
        last_used = index if read else last_used
    return {path: uses for path, uses in found.items() if path not in mixed}


def _part(trace: Trace, var: Var) -> Var:
    """The part of a parameter from which a variable is computed: a slice of it, else all of it."""
    after, squeezed = var, False
    while (equation := trace.maker(var)) is not None:
        if equation.eqn.primitive.name in _SLICES:
            return after if squeezed else var
        after, squeezed = var, equation.eqn.primitive.name == "squeeze"
        var = equation.inputs[0]
    return var


def _rewrite(
    trace: Trace, equations: Sequence[Equation], part: Var, fresh: Var, copies: dict[int, list[Equation]]
) -> None:
    """Let these equations read `fresh` for `part`, with copies of what lies between."""
    known: dict[Var, Var] = {part: fresh}

    def copied(var: Var, before: list[Equation]) -> Var:
        """The variable, computed from `fresh` where it was computed from `part`."""
        maker = trace.maker(var)
        if var in known or maker is None or trace.source(var) != Source.PARAMETERS:
            return known.get(var, var)
        inputs = {each: copied(each, before) for each in maker.inputs}
        if all(old is new for old, new in inputs.items()):
            return var
        outputs = [Var(out.aval) for out in maker.eqn.outvars]
        before.append(_with(maker, inputs, outputs))
        known.update(zip(maker.eqn.outvars, outputs, strict=True))
        return known[var]

    for equation in equations:
        *earlier, current = copies.get(id(equation), [equation])
        before: list[Equation] = []
        inputs = {var: copied(var, before) for var in current.inputs}
        copies[id(equation)] = [*earlier, *before, _with(current, inputs, current.eqn.outvars)]


def _with(equation: Equation, variables: dict[Var, Var], outputs: Sequence[Var]) -> Equation:
    """The equation with other variables in the place of some of its inputs, and of its outputs."""
    inputs = [variables.get(atom, atom) if isinstance(atom, Var) else atom for atom in equation.eqn.invars]
    return equation._replace(eqn=equation.eqn.replace(invars=inputs, outvars=list(outputs)))


def _are_slices(trace: Trace, uses: Sequence[_Use]) -> bool:
    """Whether each use reads one slice of the array, and no two the same."""
    slices = []
    for use in uses:
        described = []
        var = use.part
        while (equation := trace.maker(var)) is not None:
            eqn = equation.eqn
            if eqn.primitive.name not in (*_SLICES, "squeeze"):
                return False
            described.append((eqn.primitive.name, str(eqn.params), str(eqn.invars[1:])))
            var = equation.inputs[0]
        slices.append(tuple(described))
    return all(slices) and len(set(slices)) == len(slices)


def _places(shared: dict[str, list[_Use]]) -> dict[str, int]:
    """By path: before which of its components the number of a use stands; equal ones are numbered together."""
    by_count: dict[int, list[Path]] = {}
    for path, uses in shared.items():
        by_count.setdefault(len(uses), []).append(module_names.components(path))
    places = {}
    for path, uses in shared.items():
        parts = module_names.components(path)
        common = len(module_names.common(by_count[len(uses)]))
        places[path] = min(common, len(parts) - 1) or (1 if len(parts) == 1 else 0)
    return places


def _numbered(path: str, place: int, number: int) -> str:
    parts = list(module_names.components(path))
    return "/".join([*parts[:place], str(number), *parts[place:]])
