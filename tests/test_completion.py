"""Tab in bash completes commands, groups, options, keys and flags."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gradlab.commands.completion import OTHERS, answer
from gradlab.commands.help import COMMANDS, FLAGS

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gradlab ru", ["run "]),
        ("gradlab run activation=so", ["softplus ", "softsign "]),
        ("gradlab run opti", ["optimizer="]),
        ("gradlab run de", ["depth=", "device="]),
        ("gradlab run log", ["log.every="]),
        ("gradlab run clip=norm clip.", ["clip.threshold=", "clip.p=", "clip.where="]),
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
    assert answer(line, str(len(line))) == offered


def test_only_what_is_before_the_cursor_counts():
    assert answer("gradlab run clip=no depth=3", "16") == answer("gradlab run clip", "16")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_offered_are_the_parser_s(command):
    parser = import_module(f"gradlab.commands.{command.replace('-', '_')}").arguments()
    known = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
    offered = (
        OTHERS[command]
        if command in OTHERS
        else [word.split(" ")[0] for name in FLAGS for word in name.split(", ")]
    )
    assert set(offered) == known


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
