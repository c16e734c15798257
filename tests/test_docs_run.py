"""What docs/start.md, docs/loops.md and docs/own.md say works: their files, their Python, their commands, in order."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from gradlab.commands.main import main

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run_page(name: str) -> int:
    """Run a page in the current folder; how many commands it has."""
    count = 0
    for language, text in BLOCK.findall((DOCS / name).read_text("utf-8")):
        if language == "python":
            if file := re.match(r"# (\w+\.py)\n", text):
                Path(file[1]).write_text(text)
            if not file or "Recorder(" in text:
                exec(compile(text, name, "exec"), {"__name__": "page"})
            continue
        for line in text.splitlines():
            few = ["steps=20", "eval.every=10", "depth=4"] if line.startswith("gradlab run") else []
            assert main([*shlex.split(line)[1:], *few]) in (0, 1), line
            count += 1
    return count


@pytest.mark.slow
@pytest.mark.parametrize(("page", "commands"), [("start.md", 5), ("loops.md", 3), ("own.md", 8)])
def test_a_page_runs_from_its_first_line_to_its_last(page, commands, tmp_path, monkeypatch):
    pytest.importorskip("equinox")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    assert run_page(page) >= commands
    for name in set(sys.modules) - before:  # another page may have a file of the same name
        if Path(f"{name}.py").exists():
            del sys.modules[name]
