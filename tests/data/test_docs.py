"""docs/data.md lists every data option, and its example runs."""

import re
from pathlib import Path

import numpy as np
import pytest

from gradlab.data.task import check_task, data

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(data.makers))
def test_every_data_option_is_in_the_page(name):
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", sorted(data.makers))
def test_every_option_in_the_page_exists(name):
    (row,) = (
        line for line in PAGE.splitlines() if line.startswith("|") and f"`{name}`" in line.split("|")[1]
    )
    names = set(re.findall(r"`(\w+)`", row.split("|")[1]))
    documented = set(re.findall(r"`(\w+)(?:=\[…\])?`", row.split("|")[-2]))
    assert documented <= {key for option in names for key in data.parameters(option)}


def test_the_example_in_the_page_is_a_task():
    code = re.search(r"```python\n# my_pkg/tasks.py\n(.*?)```", PAGE, re.DOTALL)[1]
    space = {}
    exec(code, space)
    task = space["sums"](length=9)
    check_task(task, "sums")
    assert task.train_x.shape == (1000, 9, 1)
    assert abs(np.var(task.train_y) - 1) < 0.15
