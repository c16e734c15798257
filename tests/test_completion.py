"""Tab in bash completes commands, groups, options, keys and flags."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gradlab.commands.completion import candidates
from gradlab.commands.registry import commands, flags, module

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gradlab ru", ["run "]),
        ("gradlab run activation=so", ["softplus ", "softsign "]),
        ("gradlab run opti", ["optimizer="]),
        ("gradlab run de", ["depth=", "device="]),
        ("gradlab run log", ["log.every="]),
        (
            "gradlab run clip=norm clip.",
            [
                "clip.threshold=",
                "clip.p=",
                "clip.thresholds=",
                "clip.warmup=",
                "clip.warmup_from=",
                "clip.where=",
            ],
        ),
        ("gradlab suggest-clip --th", ["--threshold "]),
        ("gradlab run clip.", []),
        ("gradlab run initializer=he,x", ["he,xavier"]),
        ("gradlab run probe=[forward,ba", ["[forward,backward"]),
        ("gradlab run dtype=b", ["bfloat16 "]),
        ("gradlab run remat=t", ["true "]),
        ("gradlab run experiment=he", ["he_vs_xavier "]),
        ("gradlab run depth=5", []),
        ("gradlab run --mu", ["--multirun "]),
        ("gradlab plot --k", ["--kind "]),
        ("gradlab lr-find --hi", ["--high "]),
        ("gradlab lr-find clip=non", ["none "]),
        ("gradlab nonsense --k", []),
    ],
)
def test_tab_offers(line, offered):
    assert candidates(line, str(len(line))) == offered


def test_only_what_is_before_the_cursor_counts():
    assert candidates("gradlab run clip=no depth=3", "16") == candidates("gradlab run clip", "16")


@pytest.mark.parametrize("command", commands())
def test_the_flags_of_a_command_are_those_of_its_parser(command):
    parser = import_module(module(command)).arguments()
    names = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
    assert {name for flag in flags(command) for name in flag.names} == names
    assert all(flag.help for flag in flags(command))


def test_the_commands_are_the_modules_that_can_be_run():
    files = (ROOT / "gradlab" / "commands").glob("*.py")
    assert set(map(module, commands())) == {
        f"gradlab.commands.{file.stem}" for file in files if "def arguments()" in file.read_text("utf-8")
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_an_option(tmp_path):
    shim = tmp_path / "gradlab"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m gradlab "$@"\n')
    shim.chmod(0o755)
    script = 'eval "$(gradlab --completion bash)"; _gradlab; echo "<${COMPREPLY[@]}>"'
    inside = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    inside |= {"COMP_LINE": "gradlab run clip=v", "COMP_POINT": "18"}
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=inside, check=True)
    assert ran.stdout == "<value >\n"
