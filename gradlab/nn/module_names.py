"""Which module a parameter belongs to, from the paths of all parameters alone.

A block of the user's network is an item of a list (`layers/3`, `Dense_3`, `block3`), or a module that stands beside
the lists. A list inside a list is taken apart where its items have several layers (the stages of a ResNet), not where
they are single layers (an inner Sequential).
"""

import re
from collections.abc import Iterable, Mapping
from itertools import chain, count
from typing import Any

Path = tuple[str, ...]
_NUMBERED = re.compile(r"(.*?)[_.-]?(\d+)$")


def components(path: str) -> Path:
    """The parts of a parameter's path."""
    return tuple(re.split(r"[/.]", path))


def label(module: Path) -> str:
    """A module's name as its user writes it: `layers.3`."""
    return ".".join(module)


def numbered(component: str) -> tuple[str, int] | None:
    """The list and the place of an item: layers_3 -> (layers, 3), 3 -> ("", 3); None for any other name."""
    match = _NUMBERED.fullmatch(component)
    return (match[1], int(match[2])) if match else None


def item_of(module: Path) -> tuple[Path, int] | None:
    """The list that a module is an item of, and its place there."""
    if not module or (found := numbered(module[-1])) is None:
        return None
    base, place = found
    return (*module[:-1], base) if base else module[:-1], place


def modules(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Path]:
    """By path of a parameter, with its shape: the module whose block it is part of."""
    tree: dict[str, Any] = {}
    for path in shapes:
        node = tree
        for part in components(path):
            node = node.setdefault(part, {})
    found: dict[Path, Path] = {}
    kernels = {components(path) for path, shape in shapes.items() if len(shape) >= 2}
    _assign(tree, (), found, kernels, in_list=False)
    return {path: found[components(path)] for path in shapes}


def _assign(
    node: dict[str, Any], prefix: Path, found: dict[Path, Path], kernels: set[Path], in_list: bool
) -> None:
    for name, child in node.items():
        path = (*prefix, name)
        if len(node) == 1 and child:  # {"params": {…}}: a wrapper
            _assign(child, path, found, kernels, in_list)
        elif _is_taken_apart(child, path, kernels, in_list or _is_item(name, node)):
            _assign(child, path, found, kernels, in_list or _is_item(name, node))
        else:
            for leaf in _leaves(child, path):
                found[leaf] = path


def _is_item(name: str, node: dict[str, Any]) -> bool:
    """Whether a name is an item of a list, among the names beside it."""
    found = numbered(name)
    if found is None:
        return False
    same = [other for other in node if (beside := numbered(other)) and beside[0] == found[0]]
    return len(same) > 1


def _is_taken_apart(child: dict[str, Any], path: Path, kernels: set[Path], in_list: bool) -> bool:
    """Whether a module's parts are blocks of their own."""
    if not any(child.values()):  # only arrays: a layer, or a list of kernels
        return not in_list and sum((*path, name) in kernels for name in child if name.isdigit()) > 1
    if in_list:
        return _has_list(
            child, lambda items: any(any(part.values()) for item in items for part in item.values())
        )
    with_kernels = [
        name
        for name, part in child.items()
        if part and any(leaf in kernels for leaf in _leaves(part, (*path, name)))
    ]
    return len(with_kernels) > 1 or _has_list(child, lambda items: True)


def _has_list(node: dict[str, Any], fits: Any) -> bool:
    """Whether there is a list of modules in it for whose items `fits` holds."""
    lists: dict[str, list[dict[str, Any]]] = {}
    for name, child in node.items():
        if child and (found := numbered(name)):
            lists.setdefault(found[0], []).append(child)
    return any(len(items) > 1 and fits(items) for items in lists.values()) or any(
        _has_list(child, fits) for child in node.values() if child
    )


def _leaves(node: dict[str, Any], path: Path) -> Iterable[Path]:
    if not node:
        return [path]
    return [leaf for name, child in node.items() for leaf in _leaves(child, (*path, name))]


def unused(name: str, used: set[str]) -> str:
    """The name, or with the first number behind it that makes it another one than those in `used`, which it joins."""
    numbered_names = (f"{name}_{number}" for number in count(2))
    free = next(each for each in chain([name], numbered_names) if each not in used)
    used.add(free)
    return free


def common(paths: Iterable[Path]) -> Path:
    """The longest path that all of them begin with."""
    listed = list(paths)
    length = 0
    while all(len(path) > length for path in listed) and len({path[length] for path in listed}) == 1:
        length += 1
    return listed[0][:length]
