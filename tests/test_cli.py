"""The entry point answers at once, finds commands, and prints errors for a person to read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradlab as package
from gradlab import __version__
from gradlab.commands.main import main
from gradlab.commands.registry import commands, flags
from gradlab.recipe import options

ROOT = Path(__file__).parent.parent
HEAVY = {"jax", "hydra", "omegaconf", "pandas", "numpy", "matplotlib", "rich", "yaml"}


def gradlab(*words: str, **environment: str) -> subprocess.CompletedProcess:
    inside = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    line = [sys.executable, "-m", "gradlab", *words]
    return subprocess.run(line, capture_output=True, text=True, env=inside, check=False)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["--version"], ["--completion", "bash"], ["nonsense"]]
)
def test_help_imports_nothing_heavy(words):
    code = f"import sys; from gradlab.commands.main import main; main({words}); print('|', *sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not HEAVY & set(ran.stdout.rpartition("|")[2].split())


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text and what in text for name, what in commands().items())


def test_no_words_are_answered_with_help(capsys):
    assert main([]) == 0
    assert "gradlab COMMAND" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gradlab {__version__}\n"


def test_help_of_run_lists_groups_keys_flags_and_experiments(capsys):
    assert main(["run", "--help"]) == 0
    text = capsys.readouterr().out
    for names in (*options.groups().values(), options.groups(), options.keys(), map(str, flags("run"))):
        assert all(name in text for name in names)
    assert "tanh*" in text


@pytest.mark.parametrize("command", sorted(set(commands()) - {"run"}))
def test_a_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"example: gradlab {command}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rnu"], "gradlab: there is no command 'rnu'; did you mean 'run'?"),
        (["depth=3"], "gradlab: there is no command 'depth=3'; did you mean 'gradlab run depth=3'?"),
        (["run", "--nonsense"], "gradlab run: unrecognized arguments: --nonsense; see gradlab run --help"),
        (["plot", "--kind", "pie", "x"], "gradlab plot: argument --kind: invalid choice"),
        (["--completion", "csh"], "gradlab: --completion supports one shell: bash"),
        (["run", "--fail-on", "vanishin"], "there is no verdict 'vanishin'; did you mean 'vanishing'?"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_two(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.few(1)
@pytest.mark.parametrize("name", package.__all__)
def test_a_public_name_is_imported_when_it_is_used(name):
    assert getattr(package, name)


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        _ = package.rnu


def test_control_characters_are_shown_and_not_obeyed(capsys):
    assert main(["\x1b[31mred\u202e"]) == 2
    assert "\\u001b[31mred\\u202e" in capsys.readouterr().err


def test_a_reader_who_has_seen_enough_is_no_error():
    line = f"{sys.executable} -m gradlab run --help | head -1"
    ran = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stderr == ""


def test_an_ascii_terminal_gets_help_too():
    ran = gradlab("--help", PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("choice", [["model=custom", "model.name=own:build"], ["depth=2", "dtype=float64"]])
def test_the_header_is_made_with_the_threads_and_the_precision_of_the_run(tmp_path, choice):
    """A user-defined network draws its weights where it is built, and thereby starts JAX."""
    (tmp_path / "own.py").write_text(
        "import jax\n"
        "def build(plan, key):\n"
        "    return [(lambda w, x: x.reshape(len(x), -1) @ w, jax.random.normal(key, (plan.features, plan.outputs)))]\n"
    )
    code = (
        "import os\n"
        "import jax._src.xla_bridge as bridge\n"
        "start = bridge.make_cpu_client\n"
        "def make(*args, **options):\n"
        "    print('NPROC', os.environ.get('NPROC'))\n"
        "    return start(*args, **options)\n"
        "bridge.make_cpu_client = make\n"
        "bridge.register_backend_factory('cpu', make, priority=0, fail_quietly=False)\n"
        "from gradlab.commands.main import main\n"
        f"main(['run', *{choice}, 'steps=0', 'probe=[forward]', 'snapshot=[]'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("NPROC", None)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert ran.stdout.splitlines()[0] == "NPROC 1"
    assert "UserWarning" not in ran.stderr


def test_help_lists_every_root_key():
    from gradlab.recipe.recipe import BOUNDS

    assert {*BOUNDS} <= {*options.keys()}
