"""Files of the user, of every format: an error is reported in one line."""

import numpy as np
import pytest

from tests.data.tasks import FILES, assert_refused, make_task


@pytest.mark.parametrize("name", FILES)
def test_no_path_is_reported(name):
    assert_refused(name, f"data={name} needs data.path=")


@pytest.mark.parametrize("name", FILES)
def test_a_path_to_nothing_is_reported_with_what_may_be_meant(name, tmp_path):
    options = FILES[name](tmp_path / "first") if (tmp_path / "first").mkdir() is None else {}
    assert_refused(name, "there is no folder", **options | {"path": str(tmp_path / "second" / "user")})
    near = options["path"][:-1]
    assert_refused(name, f"did you mean '{options['path'].rpartition('/')[2]}'?", **options | {"path": near})


@pytest.mark.parametrize("name", FILES)
def test_the_same_file_gives_the_same_examples(name, tmp_path):
    options = FILES[name](tmp_path)
    for first, second in zip(make_task(name, **options), make_task(name, **options), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["npz", "csv", "parquet", "text"])
def test_a_file_that_is_something_else_is_reported(name, tmp_path):
    file = tmp_path / "user"
    file.write_bytes(bytes(range(256)) * 4)
    assert_refused(name, "user", path=str(file), **({"target": "age"} if name in ("csv", "parquet") else {}))
    file.write_bytes(b"")
    assert_refused(
        name, "is empty", path=str(file), **({"target": "age"} if name in ("csv", "parquet") else {})
    )
