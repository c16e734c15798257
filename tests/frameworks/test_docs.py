"""docs/frameworks.md: its scripts run with the real libraries, its commands are understood, its columns are right."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from gradlab.commands.registry import module
from tests.frameworks.hooks import COLUMNS, FOLDER, table

TEXT = (FOLDER.parent / "frameworks.md").read_text("utf-8")
SCRIPTS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
LINES = re.findall(r"^gradlab .*$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_of_the_page_writes_a_table_without_gradlab(name, tmp_path):
    library = name.removeprefix("train_").removesuffix(".py")
    if not find_spec(library):
        pytest.skip(f"{library} is not installed")
    for file in FOLDER.glob("*.py"):
        shutil.copy(file, tmp_path)
    (tmp_path / name).write_text(SCRIPTS[name])
    (tmp_path / "gradlab.py").write_text("raise ImportError('the hook files need nothing of gradlab')")
    settings = os.environ | {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    subprocess.run([sys.executable, name], cwd=tmp_path, env=settings, check=True)
    rows = table(tmp_path / f"{library}_norms.csv")
    assert rows.groupby("step")["layer"].count().unique().tolist() == [13]
    backward = rows[rows["step"] == 0]["log10_backward"].astype(float).tolist()
    assert backward[0] < backward[11] - 3  # sigmoid layers: the signal vanishes


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_page_is_understood(line):
    _, command, *words = shlex.split(line)
    import_module(module(command)).arguments().parse_args(words)


def test_the_page_defines_every_column():
    assert f"`{','.join(COLUMNS)}`" in TEXT
    assert all(f"| `{column}` |" in TEXT for column in COLUMNS if column != "layer")


def test_the_files_that_the_page_links_are_there():
    links = re.findall(r"\]\(([\w/.]+)\)", TEXT)
    assert {Path(link).name for link in links} >= {file.name for file in FOLDER.glob("*.py")}
    assert all((FOLDER.parent / link).exists() for link in links)
