"""Experiments and options that a stranger wrote: they run no code, write nothing elsewhere, and tell no secret.

The attacks are made by class: every key of a recipe that can hold a name, a path or a text, in every way in which a
file can set it. Each class has a control: with the safeguard switched off, the attack succeeds.
"""

import json
from pathlib import Path

import pytest

from gradlab.commands.compose import vetting
from gradlab.commands.compose.grid import grid
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import FAMILIES, LISTED, flat, plain
from tests.recipes import TINY

CALLED: list[str] = []
SECRET = "canary-7f3a"
CANARY = f"{__name__}:canary"


def canary(*arguments, **numbers):
    """What a stranger would like to be called."""
    CALLED.append("canary")
    raise RuntimeError("executed")


def experiment(folder: Path, text: str):
    """The recipes of `gradlab run experiment=hostile` with such a file in the current folder's experiments."""
    (folder / "experiments").mkdir(exist_ok=True)
    (folder / "experiments" / "hostile.yaml").write_text(f"# Is it safe?\n{text}\n", "utf-8")
    return grid([*TINY, "experiment=hostile"]).recipes


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADLAB_SECRET", SECRET)
    CALLED.clear()


def in_a_grid(key: str, value: str) -> str:
    return f"hydra: {{mode: MULTIRUN, sweeper: {{params: {{{key}: {value}}}}}}}"


GROUPS = [*FAMILIES, *LISTED]
CODE = {
    **{f"{group}: name": f"{group}:\n  name: '{CANARY}'" for group in FAMILIES},
    **{f"{group}: in a grid": in_a_grid(group, f"'{CANARY}'") for group in GROUPS},
    **{f"{group}: name in a grid": in_a_grid(f"{group}.name", f"'{CANARY}'") for group in FAMILIES},
    **{f"{field}: an entry": f"{field}:\n  mine:\n    name: '{CANARY}'" for field in LISTED.values()},
    "put together": f"activation:\n  name: '${{study}}:canary'\nstudy: {__name__.replace('.', '_')}",
    "a reference": f"study: x\nactivation: {{name: '{CANARY}'}}\nclip: '${{activation}}'",
    "a phase": "optimizer: {name: phases, phases: [{optimizer: '"
    + CANARY
    + "', until_step: 2}, {optimizer: sgd}]}",
    "_target_": f"activation: {{_target_: '{CANARY}'}}",
    "a tag": "depth: !!python/object/apply:" + CANARY.replace(":", ".") + " []",
}


@pytest.mark.parametrize("kind", CODE)
def test_an_experiment_calls_no_function(tmp_path, kind):
    with pytest.raises(RecipeError) as refused:
        experiment(tmp_path, CODE[kind])
    assert len(str(refused.value).splitlines()) == 1
    assert CALLED == []


def test_control_without_the_gate_the_function_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr(vetting, "require_trusted", lambda recipe, trusted: recipe)
    from gradlab.engine.prepare import prepare

    (made,) = experiment(tmp_path, f"activation:\n  name: '{CANARY}'")
    with pytest.raises(RecipeError, match="executed"):
        _ = prepare(made).layout
    assert CALLED


OUTSIDE = {
    "outputs": "outputs: elsewhere",
    "outputs in a grid": in_a_grid("outputs", "elsewhere"),
    "outputs in a list of grids": "hydra: {mode: MULTIRUN, sweeper: {params: [{outputs: elsewhere}]}}",
    "a reference": "study: elsewhere\noutputs: ${study}",
    "data.path": "data: {name: csv, path: /etc/passwd, target: x}",
    "data.path in a grid": "defaults: [override /data: csv]\n" + in_a_grid("data.path", "/etc/passwd"),
    "study": "study: ../elsewhere",
    "study, absolute": "study: /elsewhere",
    "study in a grid": in_a_grid("study", "../elsewhere"),
    "study of dots": "study: ..",
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_an_experiment_sets_no_path(tmp_path, kind):
    with pytest.raises(RecipeError):
        experiment(tmp_path, OUTSIDE[kind])


def test_control_without_the_check_a_grid_writes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(vetting, "require_own_paths", lambda recipe, allowed: recipe)
    (made,) = experiment(tmp_path, OUTSIDE["outputs in a grid"])
    assert made.outputs == "elsewhere"


def test_an_experiment_s_study_and_the_command_line_s_paths_stay(tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# Mine?\nstudy: mine\n", "utf-8")
    (made,) = grid([*TINY, "experiment=mine", "outputs=here"]).recipes
    assert (made.study, made.outputs) == ("mine", "here")


NAMES = [
    "${oc.env:GRADLAB_SECRET}",
    "${oc.decode:${oc.env:GRADLAB_SECRET}}",
    "${oc.create:${oc.env:GRADLAB_SECRET}}",
]
SECRETS = {
    **{
        f"{name} as {key}": f"{key}: {json.dumps(name)}"
        for name in NAMES
        for key in ("study", "dtype", "width")
    },
    "escaped": 'study: "\\u0024{oc.env:GRADLAB_SECRET}"',
    "escaped by x": 'study: "\\x24{oc.env:GRADLAB_SECRET}"',
    "nested": "study: ${${dtype}}\ndtype: oc.env:GRADLAB_SECRET",
    "put together": "dtype: '{oc.env:GRADLAB_SECRET}'\nstudy: $${dtype}",
    "in a key": "'${oc.env:GRADLAB_SECRET}': 1",
    "in a list": "model: {name: point, start: ['${oc.env:GRADLAB_SECRET}']}",
    "in a mapping": "lr_factors: {'${oc.env:GRADLAB_SECRET}': 1.0}",
    "in a grid": in_a_grid("study", "'${oc.env:GRADLAB_SECRET}'"),
    "escaped in a grid": in_a_grid("study", '"\\u0024{oc.env:GRADLAB_SECRET}"'),
    "in the defaults": "defaults: ['override /activation: ${oc.env:GRADLAB_SECRET}']",
    "hydra's": "study: ${hydra:runtime.cwd}",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_an_experiment_reads_no_variable(tmp_path, kind):
    assert SECRET not in told(tmp_path, SECRETS[kind])


def told(folder: Path, text: str) -> str:
    """The recipes of such an experiment, or the error, as text."""
    try:
        return json.dumps([flat(plain(made)) for made in experiment(folder, text)])
    except RecipeError as refused:
        return str(refused)


def test_control_without_the_checks_of_references_the_variable_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(vetting, "require_plain_references", lambda values, place="": None)
    assert SECRET in told(tmp_path, SECRETS["escaped"])


OPTIONS = {
    "a resolver": "name: norm\nthreshold: ${oc.env:GRADLAB_SECRET}",
    "escaped": 'name: norm\nthreshold: "\\u0024{oc.env:GRADLAB_SECRET}"',
    "defaults": "name: norm\ndefaults: [/data: digits]",
    "hydra": "name: norm\nhydra: {run: {dir: x}}",
    "_target_": "name: norm\n_target_: os.system",
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_file_of_an_option_reads_no_variable_and_sets_nothing_else(tmp_path, kind):
    (tmp_path / "mine" / "clip").mkdir(parents=True)
    (tmp_path / "mine" / "clip" / "odd.yaml").write_text(OPTIONS[kind], "utf-8")
    with pytest.raises(RecipeError) as refused:
        grid([*TINY, "clip=odd"], config_dir=tmp_path / "mine")
    assert SECRET not in str(refused.value)


def test_an_option_of_one_s_own_folder_may_name_a_function(tmp_path):
    """It is the user's own, and documented as code."""
    (tmp_path / "mine" / "activation").mkdir(parents=True)
    (tmp_path / "mine" / "activation" / "odd.yaml").write_text(f"name: {CANARY}\n", "utf-8")
    (made,) = grid([*TINY, "activation=odd"], config_dir=tmp_path / "mine").recipes
    assert made.activation["name"] == CANARY
