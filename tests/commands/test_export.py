"""`gradlab export`: studies, unfinished runs, folders that are there already, and what is not installed."""

import json
import subprocess
import sys

import pytest

from gradlab.commands import export
from gradlab.commands.completion import candidates
from gradlab.commands.main import main
from tests import runs

pytest.importorskip("tensorboard")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Two finished runs and one that was killed."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "killed"):
        runs.simple(tmp_path / "outputs" / "big" / name, depth=2)
    killed = json.dumps(runs.status("running", steps_done=40))
    (tmp_path / "outputs" / "big" / "killed" / "status.json").write_text(killed)
    return tmp_path / "outputs" / "big"


def exported(place):
    return sorted(str(file.parent.relative_to(place)) for file in place.rglob("events.out.tfevents.*"))


def test_a_study_is_exported_and_its_killed_run_named(study, tmp_path, capsys):
    assert main(["export", "big", "--to", "tensorboard"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == ["exports/big/a", "exports/big/b"]
    assert said.err.startswith("gradlab export: outputs/big/killed was killed while running")
    assert exported(tmp_path / "exports") == ["big/a", "big/b"]


def test_a_killed_run_given_by_its_own_folder_has_the_steps_that_it_wrote(study, tmp_path):
    from tests.report.event_files import of_tensorboard

    assert main(["export", str(study / "killed"), "--to", "tensorboard"]) == 0
    rows = of_tensorboard(tmp_path / "exports" / "big" / "killed")["steps/loss"]
    assert [step for step, _ in rows] == [0, 10, 20, 30]


def test_a_folder_that_is_there_is_replaced_only_with_force(study, tmp_path, capsys):
    line = ["export", str(study / "a"), "--to", "tensorboard"]
    assert main(line) == 0
    (before,) = (tmp_path / "exports").rglob("events*")
    capsys.readouterr()
    assert main(line) == 2
    error = capsys.readouterr().err
    assert error.startswith("gradlab export: exports/big/a is there already; replace it with --force")
    assert error.count("\n") == 1
    assert before.exists()
    assert main([*line, "--force"]) == 0
    assert not before.exists()
    assert exported(tmp_path / "exports") == ["big/a"]


def test_force_does_not_replace_files_of_others(study, tmp_path, capsys):
    notes = tmp_path / "exports" / "big" / "a" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    assert main(["export", str(study / "a"), "--to", "tensorboard", "--force"]) == 2
    assert "notes.txt is no file of an export" in capsys.readouterr().err
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]


def test_nothing_half_written_stays_where_writing_fails(study, tmp_path, monkeypatch):
    from gradlab.report.export import tensorboard

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorboard, "definitions", fail)
    assert main(["export", str(study / "a"), "--to", "tensorboard"]) == 130
    assert list((tmp_path / "exports" / "big").iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(study, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["export", str(study / "a"), "--to", "tensorboard", "--out", "file"]) == 2
    error = capsys.readouterr().err
    assert "file/big/a cannot be written: Not a directory" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("tool", export.TOOLS)
@pytest.mark.parametrize("name", ["\udcff", "a\x1b[2Jb", "a\nb", "n" * 200])
def test_a_run_of_any_name_is_exported(tmp_path, monkeypatch, capsys, name, tool):
    pytest.importorskip(tool)
    monkeypatch.chdir(tmp_path)
    runs.simple(tmp_path / "big" / "a", depth=2).rename(tmp_path / "big" / name)
    assert main(["export", f"big/{name}", "--to", tool]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_target_whose_name_is_no_text_is_one_line(study, capsys):
    assert main(["export", str(study / "a"), "--to", "tensorboard", "--out", "\udcff"]) == 2
    error = capsys.readouterr().err
    assert error.endswith("cannot be written: its name is not UTF-8; give another --out\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize("tool", export.TOOLS)
def test_a_missing_package_is_one_line_that_says_what_to_install(study, tool, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, f"gradlab.report.export.{tool}", raising=False)
    for module in ("tensorboard.compat.proto.event_pb2", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    assert main(["export", "big", "--to", tool]) == 2
    error = capsys.readouterr().err
    assert (
        error == f"gradlab export: --to {tool} needs the package {tool}: pip install 'gradlab-jax[{tool}]'\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["big"], "the following arguments are required: --to"),
        (["big", "--to", "csv"], "invalid choice: 'csv'"),
        (["--to", "tensorboard"], "no path was given"),
        (["bigg", "--to", "tensorboard"], "bigg does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(study, words, message, capsys):
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gradlab export: ")
    assert message in error
    assert error.count("\n") == 1


def test_its_flags_are_completed():
    line = "gradlab export big --"
    assert candidates(line, str(len(line))) == ["--to ", "--out ", "--force ", "--help "]


def test_its_help_needs_no_package():
    code = "import sys; from gradlab.commands.main import main\n"
    code += "try: main(['export', '--help'])\nexcept SystemExit: pass\n"
    code += "print({'tensorboard', 'pandas', 'jax'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "gradlab export outputs/default --to tensorboard" in said
    assert said.endswith("set()\n")
