"""Imports look down, rooms that stand beside each other do not meet, and neither do JAX and pandas.

Change the order here first, with a reason.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gradlab

ROOT = Path(__file__).parent.parent / "gradlab"
ORDER = [  # from the top; a room may import its own modules and rooms further down
    ("gradlab.__main__",),
    ("gradlab.commands",),
    ("gradlab.reproductions",),  # each claim uses what a user has; it gets `gradlab.run` from its command
    ("gradlab.own",),
    ("gradlab.launch", "gradlab.report"),
    ("gradlab.engine", "gradlab.figures"),
    ("gradlab.models",),
    # logs: what other programs have measured; it writes by the store, and meets neither training nor analysis
    ("gradlab.nn", "gradlab.data", "gradlab.analysis", "gradlab.logs"),
    ("gradlab.measurements",),
    ("gradlab.parts", "gradlab.store"),
    ("gradlab.numerics", "gradlab.theory", "gradlab.measurements.columns"),
    ("gradlab.recipe",),
    ("gradlab",),  # __init__: the version, and the public functions, imported when they are asked for
]
ROOMS = {name for floor in ORDER for name in floor}
LEFT = tuple("parts numerics models nn data measurements engine".split())
RIGHT = ("analysis", "figures", "theory", "report", "logs", "store.read", "measurements.columns")
JAX, PANDAS, HYDRA = {"jax", "flax", "optax"}, {"pandas", "matplotlib"}, {"hydra", "omegaconf"}


def modules() -> dict[str, Path]:
    files = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path
        for path in sorted(ROOT.rglob("*.py"))
    }
    return {name.removesuffix(".__init__"): path for name, path in files.items()}


MODULES = modules()


@cache
def parsed(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, at its top or inside a function; not for its annotations alone."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    tree = parsed(path)
    annotations = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    skipped = {id(child) for node in annotations for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports from the top, as everywhere here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(imported: str) -> str:
    """gradlab.numerics.norms.log2_norm -> gradlab.numerics.norms."""
    return imported if imported in MODULES else imported.rpartition(".")[0]


def own_imports(name: str) -> set[str]:
    """The modules of gradlab that a module imports."""
    found = {module_of(other) for other in imports(MODULES[name]) if other.split(".")[0] == "gradlab"}
    return found - {name}


def room(name: str) -> str:
    """The longest name of a room that a module stands in."""
    parts = name.split(".")
    return next(room for n in range(len(parts), 0, -1) if (room := ".".join(parts[:n])) in ROOMS)


def floor(name: str) -> int:
    """Counted from the top."""
    return next(index for index, floor in enumerate(ORDER) if room(name) in floor)


@pytest.mark.parametrize("name", MODULES)
def test_imports_look_down(name):
    others = own_imports(name) if name != "gradlab" else set()
    wrong = {other for other in others if room(other) != room(name) and floor(other) <= floor(name)}
    assert not wrong, f"{name} stands in {room(name)} and imports {sorted(wrong)}"


def test_no_modules_import_each_other():
    graph = {name: own_imports(name) for name in MODULES if name != "gradlab"}
    TopologicalSorter(graph).prepare()  # raises CycleError with the modules of the cycle


@pytest.mark.parametrize("folder", ["gradlab.engine", "gradlab.nn", "gradlab.logs"])
def test_a_file_imports_only_from_those_listed_below_it_in_the_folder_s_docstring(folder):
    files = re.findall(r"^(\w+)  +\S", MODULES[folder].read_text("utf-8"), re.MULTILINE)
    names = [f"{folder}.{file}" for file in files]
    assert set(names) == {name for name in MODULES if name.startswith(f"{folder}.")}
    for index, name in enumerate(names):
        assert not own_imports(name) & set(names[:index]), name


def test_the_root_holds_the_public_functions_and_nothing_else():
    files = {path.name for path in ROOT.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "py.typed"}
    assert {name for name in ROOMS if name.count(".") == 1} - {"gradlab.__main__"} == {
        f"gradlab.{path.name}" for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert set(gradlab.__all__) <= set(dir(gradlab))


@pytest.mark.parametrize("name", MODULES)
def test_jax_and_pandas_never_meet(name):
    used = {other.split(".")[0] for other in imports(MODULES[name])}
    side = name.removeprefix("gradlab.")
    assert not (used & JAX and used & PANDAS)
    if side.startswith(LEFT) and not side.startswith(RIGHT):
        assert not used & PANDAS
    if side.startswith(RIGHT):
        assert not used & JAX


@pytest.mark.parametrize("name", MODULES)
def test_only_the_commands_know_hydra(name):
    used = {other.split(".")[0] for other in imports(MODULES[name])}
    assert not used & HYDRA or name.startswith("gradlab.commands")


@pytest.mark.parametrize("name", ["__main__", "commands.main", "commands.help", "commands.completion"])
def test_the_door_needs_the_standard_library_only(name):
    seen, waiting = set(), [f"gradlab.{name}"]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        tops = set(top_imports(MODULES[module]))
        others = {other.split(".")[0] for other in tops} - {"gradlab"}
        assert others <= set(sys.stdlib_module_names), module
        inner = {module_of(other) for other in tops if other.split(".")[0] == "gradlab"}
        waiting += sorted(inner - seen - {"gradlab"})


def top_imports(path: Path) -> Iterator[str]:
    """What importing a file imports."""
    for node in parsed(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_imported_for_a_side_effect(name):
    assert "F401" not in MODULES[name].read_text("utf-8")


FORBIDDEN = {
    "pickle",
    "cloudpickle",
    "dill",
    "instantiate",
    "get_class",
    "get_method",
    "eval",
    "exec",
    "read_pickle",
}


@pytest.mark.parametrize("name", MODULES)
def test_nothing_named_by_a_file_is_run(name):
    nodes = list(ast.walk(parsed(MODULES[name])))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = {call.id for call in called if isinstance(call, ast.Name)}
    names |= {call.attr for call in called if isinstance(call, ast.Attribute)}
    names |= {part for other in imports(MODULES[name]) for part in other.split(".")}
    assert not names & FORBIDDEN
