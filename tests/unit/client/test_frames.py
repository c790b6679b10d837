"""Cells of data frames as the service reads them, and results in their rows."""

import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from client.errors import UnexpectedAnswerError
from client.protocol import frames
from client.protocol.frames import Pandas, checked_names, library_of, plain_value, results_of
from client.protocol.uploads import Submission


@pytest.mark.parametrize(
    ("cell", "sent"),
    [
        (2018.0, 2018), (np.float32(2.5), 2.5), (np.int64(7), 7), (np.bool_(1), True),
        (math.nan, None), (np.float64("nan"), None), (pd.NA, None), (pd.NaT, None), (None, None),
        (Decimal("1.50"), 1.5), (Decimal("nan"), None), ("", ""), ("é", "é"),
        (math.inf, "inf"), (pd.Timestamp("2020-03-01"), "2020-03-01T00:00:00"),
        (dt.date(2020, 3, 1), "2020-03-01"), ([1, 2], "[1, 2]"), (np.array([1, 2]), "[1 2]"),
    ],
)  # fmt: skip
def test_a_cell_is_sent_as_its_value(cell: Any, sent: Any) -> None:
    assert plain_value(cell) == sent
    assert type(plain_value(cell)) is type(sent)


def test_rows_are_numbered_and_earlier_results_are_not_sent(tmp_path: Path) -> None:
    names, rows = ["Marque", "price_mad"], [["Kia", 1.0], [None, 2.0]]
    submission = Submission(file=Path())
    left_out = frames.left_out_columns(submission)
    assert frames.write_rows(names, iter(rows), tmp_path / "x", left_out) == 2
    lines = [json.loads(line) for line in (tmp_path / "x").read_text().splitlines()]
    assert lines == [{"carprice_row": 1, "Marque": "Kia"}, {"carprice_row": 2, "Marque": None}]


def test_a_result_column_that_an_option_names_is_sent() -> None:
    named = {"columns": {"asking_price_mad": "price_mad"}}
    left_out = frames.left_out_columns(Submission(file=Path(), options=named))
    assert "price_mad" not in left_out
    assert "row_error" in left_out


def test_results_are_put_in_the_rows_of_their_numbers() -> None:
    rows = [{"carprice_row": "2", "price_mad": None, "row_status": "rejected"},
            {"carprice_row": "1", "price_mad": 5.0, "row_status": "valued"}]  # fmt: skip
    assert results_of(["a"], rows, 2) == {
        "price_mad": [5.0, None], "row_status": ["valued", "rejected"],
    }  # fmt: skip


def test_a_column_of_the_frame_is_never_replaced() -> None:
    sent = {"carprice_row": 1, "price_mad": "90000", "carprice_price_mad": 5.0, "match": "exact"}
    made = results_of(["price_mad", "match"], [sent], 1)
    assert made == {"carprice_price_mad": [5.0], "carprice_match": ["exact"]}


@pytest.mark.parametrize("numbers", [[1], [1, 1], [1, 3], [1, 2, 2]])
def test_results_of_other_rows_are_refused(numbers: list[int]) -> None:
    rows = [{"carprice_row": number, "price_mad": 1.0} for number in numbers]
    with pytest.raises(UnexpectedAnswerError):
        results_of(["a"], rows, 2)


@pytest.mark.parametrize("names", [["a", "a"], [1, "1"], ["carprice_row"], ["carprice_price_mad"]])
def test_names_that_would_be_confused_are_refused(names: list[Any]) -> None:
    with pytest.raises(ValueError, match="name"):
        checked_names(names)


def test_pandas_keeps_its_index_and_its_own_columns() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=["x", "x", None])
    made = Pandas().with_columns(frame, {"price_mad": [1.0, None, 3], "match": ["exact", None, ""]})
    assert list(made.index) == list(frame.index)
    assert made["price_mad"].dtype == "float64"
    assert made["match"].tolist() == ["exact", None, ""]
    assert list(frame.columns) == ["a"]


def test_rows_of_pandas_have_the_cells_of_each_column() -> None:
    frame = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "f": [0.5, math.nan]})
    rows = [[plain_value(cell) for cell in row] for row in Pandas().rows(frame)]
    assert rows == [[1, 0.5], [None, None]]
    assert list(Pandas().rows(frame.iloc[:0])) == []


def test_what_is_no_frame_is_refused() -> None:
    class DataFrame: ...

    for other in ([], DataFrame(), pd.Series([1])):
        with pytest.raises(TypeError, match="DataFrame of pandas or polars"):
            library_of(other)


def test_polars_gives_polars() -> None:
    pl = pytest.importorskip("polars", reason="polars is not installed here")
    frame = pl.DataFrame({"a": [1, 2]})
    library = library_of(frame)
    assert [list(row) for row in library.rows(frame)] == [[1], [2]]
    made = library.with_columns(frame, {"price_mad": [None, 2.0], "match": [None, None]})
    assert made.schema["price_mad"] == pl.Float64
    assert made.schema["match"] == pl.String
    assert library.with_columns(frame.head(0), {"price_mad": []}).shape == (0, 2)
