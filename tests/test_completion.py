"""Tab in bash completes commands, groups, options, keys and flags."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gradlab.commands.arguments import run_arguments
from gradlab.completion import answer
from gradlab.usage import FLAGS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gradlab ru", ["run "]),
        ("gradlab run activation=s", ["selu ", "sigmoid "]),
        ("gradlab run opti", ["optimizer="]),
        ("gradlab run de", ["depth=", "device="]),
        ("gradlab run log", ["log.every="]),
        ("gradlab run clip=norm clip.", ["clip.threshold="]),
        ("gradlab run clip.", []),
        ("gradlab run initializer=he,x", ["he,xavier"]),
        ("gradlab run probe=[forward,ba", ["[forward,backward"]),
        ("gradlab run dtype=b", ["bfloat16 "]),
        ("gradlab run remat=t", ["true "]),
        ("gradlab run experiment=he", ["he_vs_xavier "]),
        ("gradlab run depth=5", []),
        ("gradlab run --mu", ["--multirun "]),
        ("gradlab plot --k", ["--kind "]),
        ("gradlab nonsense --k", []),
    ],
)
def test_tab_offers(line, offered):
    assert answer(line, str(len(line))) == offered


def test_only_what_is_before_the_cursor_counts():
    assert answer("gradlab run clip=no depth=3", "16") == answer("gradlab run clip", "16")


def test_the_flags_of_the_help_are_the_parser_s():
    known = {option for action in run_arguments()._actions for option in action.option_strings}
    assert {word.split(" ")[0] for name in FLAGS for word in name.split(", ")} == known


@pytest.mark.parametrize("command", ["plot", "compare", "diagnose", "ls"])
def test_the_flags_offered_for_a_command_are_its_parser_s(command, monkeypatch):
    from importlib import import_module

    from gradlab.completion import OTHERS

    seen = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        seen.extend(option for action in parser._actions for option in action.option_strings)
        raise SystemExit

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(SystemExit):
        import_module(f"gradlab.commands.{command}").main([])
    assert set(OTHERS[command]) == set(seen) - {"-h", "--help"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_an_option(tmp_path):
    shim = tmp_path / "gradlab"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m gradlab "$@"\n')
    shim.chmod(0o755)
    script = 'eval "$(gradlab --completion bash)"; COMP_LINE="gradlab run clip=v"; COMP_POINT=18; _gradlab; echo "<${COMPREPLY[@]}>"'
    inside = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=inside, check=True)
    assert ran.stdout == "<value >\n"
