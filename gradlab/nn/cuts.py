"""Where a network can be cut into blocks: where a single array of the signal passes.

Each piece between two such places belongs to the modules whose parameters it uses; pieces of one module are one block.
What two paths connect (a residual branch, attention) has no such place inside and stays together.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jax.extend.core import Var

from gradlab.nn import module_names
from gradlab.nn.equations import Atom, Equation, Trace, dtype_of, shape_of
from gradlab.nn.module_names import Path

Shapes = Mapping[str, tuple[int, ...]]
_ADDING = frozenset("add broadcast_in_dim reshape convert_element_type squeeze".split())


class Piece(NamedTuple):
    """Equations of the signal in a row, whose modules these are, and the one array that goes on from here."""

    modules: frozenset[Path]
    equations: list[Equation]
    output: Atom


class Block(NamedTuple):
    """A block as it is found: the path of its module, its name, its equations of the signal, and its output."""

    module: Path
    label: str
    equations: list[Equation]
    output: Atom


def cut(trace: Trace) -> tuple[list[Block], list[Equation]]:
    """The network's blocks in order, and the equations that follow the last parameter."""
    cut_pieces = pieces_of(trace)
    used = {path for piece in cut_pieces for path in trace.used_by(arrays_of(piece.equations))}
    shapes = {
        path: shape_of(var) for path, var in (*trace.parameters.items(), *trace.stats.items()) if path in used
    }
    modules = module_names.modules(shapes)
    pieces = [piece._replace(modules=_modules(piece.equations, trace, modules)) for piece in cut_pieces]
    last = max((index for index, piece in enumerate(pieces) if piece.modules), default=-1)
    rest = [equation for piece in pieces[last + 1 :] for equation in piece.equations]
    pieces = _joined(
        pieces[: last + 1], {module: _has_kernel(module, modules, shapes) for module in modules.values()}
    )
    groups = _merged(pieces)
    if apart := {item for group in groups if (item := _torn_item(group.modules))}:
        groups = _merged([piece._replace(modules=_as_wholes(piece.modules, apart)) for piece in pieces])
    labels = _labels([group.modules for group in groups])
    blocks = [
        Block(module_names.common(group.modules), label, group.equations, group.output)
        for group, label in zip(groups, labels, strict=True)
    ]
    return blocks, rest


def pieces_of(trace: Trace) -> list[Piece]:
    """The equations of the signal between the places that a single array passes; their modules are not yet known.

    Where parameters meet the inputs again further on, as in a second branch, a part of the signal passes by: there is
    no such place before, unless the user has marked blocks.
    """
    signal = trace.signal
    last_use = {var: index for index, equation in enumerate(signal) for var in equation.inputs}
    last_use |= {var: len(signal) for var in trace.outputs[:1] if isinstance(var, Var)}
    marked = any(equation.block for equation in signal)
    begins = [
        index for index, equation in enumerate(signal) if not any(map(trace.is_signal, equation.inputs))
    ]
    first = 0 if marked else max(begins, default=0)
    alive: set[Var] = set()
    pieces: list[Piece] = []
    current: list[Equation] = []
    for index, equation in enumerate(signal):
        current.append(equation)
        alive |= set(equation.eqn.outvars) | {var for var in equation.inputs if trace.is_signal(var)}
        alive = {var for var in alive if last_use.get(var, -1) > index}
        is_place = index >= first and len(alive) == 1 and all(map(_is_signal_array, alive))
        if is_place or index == len(signal) - 1:
            pieces.append(Piece(frozenset(), current, next(iter(alive), trace.outputs[0])))
            current = []
    return pieces


def arrays_of(equations: Iterable[Equation]) -> list[Equation]:
    """Those that make arrays: what is added to a scalar belongs to no block, as a penalty to the loss."""
    return [equation for equation in equations if any(shape_of(var) for var in equation.eqn.outvars)]


def _is_signal_array(var: Var) -> bool:
    return bool(jnp.issubdtype(dtype_of(var), jnp.inexact)) and len(shape_of(var)) > 0


def _modules(equations: list[Equation], trace: Trace, modules: Mapping[str, Path]) -> frozenset[Path]:
    """The modules of a piece: those that the user has marked, else those of its parameters."""
    marked: set[Path] = {(equation.block,) for equation in equations if equation.block}
    return frozenset(marked or {modules[path] for path in trace.used_by(arrays_of(equations))})


def _has_kernel(module: Path, modules: Mapping[str, Path], shapes: Shapes) -> bool:
    return any(len(shapes[path]) >= 2 for path, owner in modules.items() if owner == module)


def _joined(pieces: list[Piece], has_kernel: Mapping[Path, bool]) -> list[Piece]:
    """Pieces without a module of their own belong to the block before them; the first ones to that after them."""
    joined: list[Piece] = []
    before: frozenset[Path] = frozenset()
    for piece in pieces:
        if not piece.modules or (
            before and all(_is_appendix(module, piece, has_kernel) for module in piece.modules)
        ):
            piece = piece._replace(modules=before)
        joined.append(piece)
        before = piece.modules
    first = next((piece.modules for piece in joined if piece.modules), frozenset[Path]())
    return [piece if piece.modules else piece._replace(modules=first) for piece in joined]


def _is_appendix(module: Path, piece: Piece, has_kernel: Mapping[Path, bool]) -> bool:
    """Whether it is an array beside the modules that is only added, or a numbered module without a kernel (`bn2`)."""
    if len(module) == 1 and {equation.eqn.primitive.name for equation in piece.equations} <= _ADDING:
        return True
    return not has_kernel.get(module, True) and module_names.numbered(module[-1]) is not None


def _merged(pieces: list[Piece]) -> list[Piece]:
    """One piece for each module, from its first to its last, with all that stands between."""
    ends = {module: index for index, piece in enumerate(pieces) for module in piece.modules}
    merged: list[Piece] = []
    open_until = -1
    for index, piece in enumerate(pieces):
        if index <= open_until:
            before = merged.pop()
            piece = Piece(before.modules | piece.modules, [*before.equations, *piece.equations], piece.output)
        merged.append(piece)
        open_until = max(open_until, *(ends[module] for module in piece.modules))
    return merged


def _torn_item(modules: frozenset[Path]) -> Path | None:
    """The item of a list in which several modules are that no single array connects: it is one block."""
    if len(modules) < 2:
        return None
    path = module_names.common(modules)
    places = [length for length in range(1, len(path) + 1) if module_names.numbered(path[length - 1])]
    return path[: places[0]] if places else None


def _as_wholes(modules: frozenset[Path], items: set[Path]) -> frozenset[Path]:
    return frozenset(
        next((item for item in items if module[: len(item)] == item), module) for module in modules
    )


def _labels(groups: list[frozenset[Path]]) -> list[str]:
    """A name for each block: that of its module, or of the module that holds its modules and no others."""
    labels = []
    for modules in groups:
        path = module_names.common(modules)
        others = [module for group in groups if group is not modules for module in group]
        if path and not any(module[: len(path)] == path for module in others):
            labels.append(module_names.label(path))
        else:
            ends = sorted(modules)
            labels.append("+".join(module_names.label(module) for module in (ends[0], ends[-1])))
    return labels
