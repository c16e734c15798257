"""CSV and Parquet tables of the user: one column is predicted from the others, or the table is refused."""

import numpy as np
import pandas as pd
import pytest

from tests.data.tasks import assert_refused, cut, make_task, table


def write_table(folder, frame, kind):
    file = folder / f"user.{kind}"
    frame.to_csv(file, index=False) if kind == "csv" else frame.to_parquet(file)
    return str(file)


tables = pytest.mark.parametrize("kind", ["csv", "parquet"])


@tables
@pytest.mark.parametrize(
    ("target", "outputs", "metric"), [("paid", 2, "accuracy"), ("city", 2, "accuracy"), ("income", 1, "r2")]
)
def test_a_column_s_kind_says_what_is_asked(tmp_path, kind, target, outputs, metric):
    task = make_task(kind, path=write_table(tmp_path, table(), kind), target=target, words="one_hot")
    assert (task.outputs, task.metric) == (outputs, metric)
    assert task.form.shape == (4 if target != "city" else 3,)  # a city is two columns
    assert len(task.train_y) == 40


@tables
def test_whole_numbers_are_asked_about_when_there_are_many(tmp_path, kind):
    path = write_table(tmp_path, table(), kind)
    assert_refused(kind, "different whole numbers: set data.kind=", path=path, target="age", drop=["city"])
    task = make_task(kind, path=path, target="age", drop=["city"], kind="regression")
    assert abs(task.train_y.mean()) < 1e-6


@tables
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"target": "payed"}, "has no column data.target='payed'; did you mean 'paid'?"),
        ({}, {"target": ""}, "there are: age, city, income, paid"),
        ({}, {"drop": ["town"]}, "has no column data.drop='town'"),
        ({}, {"drop": []}, "column 'city' contains text such as 'Bonn'"),
        ({}, {"drop": ["city", "age", "income"]}, "has no column besides the target"),
        ({"age": [None] * 3 + [1.0] * 47}, {}, "column 'age' has 3 missing values out of 50"),
        ({"age": [np.inf] * 2 + [1.0] * 48}, {}, "column 'age' has 2 NaN or infinite values out of 50"),
        ({"paid": ["yes"] * 50}, {}, "has only one class, yes"),
        ({"paid": [1.5] * 50}, {}, "is constant (1.5)"),
        ({"paid": [str(n) for n in range(50)]}, {"kind": "classification"}, "has 50 classes for 50 examples"),
        (
            {"paid": ["yes", "no"] * 25},
            {"kind": "regression"},
            "contains no numbers, which data.kind=regression needs",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_reported(tmp_path, kind, change, options, message):
    path = write_table(tmp_path, table().assign(**change), kind)
    assert_refused(kind, message, **{"path": path, "target": "paid", "drop": ["city"], **options})


@tables
def test_few_rows_and_many_words_are_reported(tmp_path, kind):
    assert_refused(kind, "6 examples are too few", path=write_table(tmp_path, table(6), kind), target="paid")
    names = table(300).assign(city=[f"town {n}" for n in range(300)])
    message = "contains 300 different words, and data.words=one_hot allows 100"
    assert_refused(kind, message, path=write_table(tmp_path, names, kind), target="paid", words="one_hot")


@tables
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_cell_of_words_is_no_class(tmp_path, kind, empty):
    frame = table()
    frame["city"] = [empty, *frame["city"][1:]]
    message = "column 'city' has missing values; fill or remove them"
    assert_refused(kind, message, path=write_table(tmp_path, frame, kind), target="paid", words="one_hot")


def test_what_is_neither_a_number_nor_a_word_is_reported(tmp_path):
    dates = table().assign(day=pd.date_range("2020-01-01", periods=50))
    path = write_table(tmp_path, dates, "parquet")
    assert_refused("parquet", "column 'day' is of type timestamp", path=path, target="paid", drop=["city"])


def test_a_column_twice_and_a_ragged_line_are_reported(tmp_path):
    (tmp_path / "user.csv").write_text("a,a,b\n" + "1,2,3\n" * 20)
    assert_refused("csv", "has two columns named 'a'", path=str(tmp_path / "user.csv"), target="b")
    (tmp_path / "user.csv").write_text("a,b\n1,2\n1,2,3\n")
    assert_refused("csv", "cannot be read", path=str(tmp_path / "user.csv"), target="b")


def test_a_cut_off_parquet_file_is_reported(tmp_path):
    path = write_table(tmp_path, table(), "parquet")
    cut(tmp_path, "user.parquet", 900)
    assert_refused("parquet", "cannot be read", path=path, target="paid")
