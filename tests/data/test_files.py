"""Files of a user's own: what is wrong is told in one line, whatever the format."""

import numpy as np
import pytest

from tests.data.tasks import FILES, make_task, assert_refused


@pytest.mark.parametrize("name", FILES)
def test_no_path_is_told(name):
    assert_refused(name, f"data={name} needs data.path=")


@pytest.mark.parametrize("name", FILES)
def test_a_path_to_nothing_is_told_with_what_may_be_meant(name, tmp_path):
    given = FILES[name](tmp_path / "one") if (tmp_path / "one").mkdir() is None else {}
    assert_refused(name, "there is no folder", **given | {"path": str(tmp_path / "two" / "own")})
    near = given["path"][:-1]
    assert_refused(name, f"did you mean '{given['path'].rpartition('/')[2]}'?", **given | {"path": near})


@pytest.mark.parametrize("name", FILES)
def test_the_same_file_gives_the_same_examples(name, tmp_path):
    given = FILES[name](tmp_path)
    for one, two in zip(make_task(name, **given), make_task(name, **given), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["npz", "csv", "parquet", "text"])
def test_a_file_that_is_something_else_is_told(name, tmp_path):
    file = tmp_path / "own"
    file.write_bytes(bytes(range(256)) * 4)
    assert_refused(name, "own", path=str(file), **({"target": "age"} if name in ("csv", "parquet") else {}))
    file.write_bytes(b"")
    assert_refused(name, "is empty", path=str(file), **({"target": "age"} if name in ("csv", "parquet") else {}))
