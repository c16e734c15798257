"""Imports look down, and JAX and pandas never meet. Change the order here first, with a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gradlab"
FLOORS = {  # a module's floor is that of its longest name here
    "gradlab": 0,
    "gradlab.recipe.recipe": 0,
    "gradlab.recipe.bounds": 0,
    "gradlab.recipe.paths": 0,
    "gradlab.recipe.errors": 0,
    "gradlab.recipe.options": 0,  # the names in conf/, for help, Tab and hints
    "gradlab.commands.help": 0,
    "gradlab.measure.columns": 0,
    "gradlab.parts": 1,
    "gradlab.numerics.taps": 1,
    "gradlab.numerics.norms": 1,
    "gradlab.theory": 1,
    "gradlab.models": 2,
    "gradlab.data": 2,
    "gradlab.probes": 2,
    "gradlab.store": 2,
    "gradlab.engine.setup": 3,
    "gradlab.analysis": 3,
    "gradlab.engine.evaluate": 2,
    "gradlab.engine.gradients": 4,
    "gradlab.engine.update": 4,
    "gradlab.engine.step": 4,
    "gradlab.figures": 4,
    "gradlab.engine.compiled": 5,
    "gradlab.engine.loop": 5,
    "gradlab.launch": 5,
    "gradlab.commands": 6,
    "gradlab.commands.main": 7,
    "gradlab.__main__": 7,
    "gradlab.commands.completion": 7,
}
LEFT = tuple("parts taps numerics models data probes evaluate build slopes scheme step program train".split())
RIGHT = ("analysis", "figures", "theory", "store.read")
JAX, PANDAS, HYDRA = {"jax", "flax", "optax"}, {"pandas", "matplotlib"}, {"hydra", "omegaconf"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function; not for its annotations alone."""
    tree = ast.parse(path.read_text("utf-8"))
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


def floor(name: str) -> int | None:
    parts = name.split(".")
    known = (".".join(parts[:n]) for n in range(len(parts), 1, -1))
    return next(
        (FLOORS[one] for one in known if one in FLOORS), FLOORS["gradlab"] if parts[0] == "gradlab" else None
    )


@pytest.mark.parametrize("name", modules())
def test_imports_look_down(name):
    mine = floor(name)
    above = [other for other in imports(modules()[name]) if (floor(other) or 0) > mine]
    assert not above, f"{name} is on floor {mine} and imports {above}"


@pytest.mark.parametrize("name", modules())
def test_jax_and_pandas_never_meet(name):
    used = {other.split(".")[0] for other in imports(modules()[name])}
    side = name.removeprefix("gradlab.")
    assert not (used & JAX and used & PANDAS)
    if side.startswith(LEFT):
        assert not used & PANDAS
    if side.startswith(RIGHT):
        assert not used & JAX


@pytest.mark.parametrize("name", modules())
def test_only_the_commands_know_hydra(name):
    used = {other.split(".")[0] for other in imports(modules()[name])}
    assert not used & HYDRA or name.startswith("gradlab.commands")


@pytest.mark.parametrize(
    "name",
    [
        "gradlab.commands.main",
        "gradlab.__main__",
        "gradlab.commands.help",
        "gradlab.commands.completion",
        "gradlab.recipe.options",
    ],
)
def test_the_door_needs_the_standard_library_only(name):
    import sys

    others = {other.split(".")[0] for other in imports(modules()[name])} - {"gradlab"}
    assert others <= set(sys.stdlib_module_names)


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


@pytest.mark.parametrize("name", modules())
def test_nothing_named_by_a_file_is_run(name):
    nodes = list(ast.walk(ast.parse(modules()[name].read_text("utf-8"))))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = {call.id for call in called if isinstance(call, ast.Name)}
    names |= {call.attr for call in called if isinstance(call, ast.Attribute)}
    names |= {part for other in imports(modules()[name]) for part in other.split(".")}
    assert not names & FORBIDDEN
