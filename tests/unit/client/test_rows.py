"""Rows of a batch: pages, corrections of cells, and what failed once more."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from client.errors import ConflictError, NotFoundError
from client.protocol.rows import write_corrected
from client.rows import CellError
from client.work import Batch
from tests.unit.client.conftest import Call
from tests.unit.client.servers import answer, running
from tests.unit.client.test_client import batch

pytestmark = pytest.mark.usefixtures("_no_pauses")
PROBLEM = "application/problem+json"
VALUED = {
    "number": 1, "line": 2, "cells": {"Marque": "Dacia", "Année": "2018"}, "errors": [],
    "result": {"price_mad": 90_000.0, "verdict": "fair", "row_status": "valued"},
}  # fmt: skip
WRONG = {"column": "Année", "field": "year", "code": "too-small", "message": "1950 to 2026"}
REJECTED = {
    "number": 2, "line": 3, "cells": {"Marque": "Renault", "Année": "1016"}, "errors": [WRONG],
    "result": {"price_mad": None, "verdict": None, "row_status": "rejected"},
}  # fmt: skip
REJECTED_FILE = (
    "Marque,Année,Note,row_line,row_error\n"
    'Renault,1016,"\'=1, ""two""\nlines",3,year\n'
    "Kia,x,,4,year\n"
)


def page(rows: list[Any], number: int = 1, pages: int = 1, **more: Any) -> bytes:
    summary = {
        "total_mad": 90_000.0, "valued": 1, "verdicts": {"fair": 1}, "brands": {"Dacia": 1},
        "statuses": {"valued": 1, "rejected": 1},
        "reasons": [{"code": "too-small", "field": "year", "rows": 1}],
    }  # fmt: skip
    body = {"rows": rows, "total": 2, "page": number, "pages": pages, "summary": summary}
    return json.dumps(body | more).encode()


def problem(code: str) -> bytes:
    document = {"type": f"/docs/problems#{code}", "title": "Title", "detail": "Detail."}
    return json.dumps(document).encode()


def lines(heads: list[bytes]) -> list[str]:
    """The method and address of each request."""
    return [head.split(b" HTTP/")[0].decode() for head in heads]


def test_a_page_has_rows_with_their_results_and_the_sums_of_all(call: Call) -> None:
    with running(answer(page([VALUED, REJECTED], pages=3))) as (url, heads):
        found = call(
            url,
            lambda client: client.rows_page(
                "b1", page=2, sort="-price", verdict="fair", status="valued", brand=""
            ),
        )
    assert lines(heads) == [
        "GET /batches/b1/rows?sort=-price&verdict=fair&status=valued&brand=&page=2"
    ]
    valued, rejected = found.rows
    assert (valued.status, valued.price_mad, valued.verdict) == ("valued", 90_000.0, "fair")
    assert (rejected.status, rejected.price_mad, rejected.line) == ("rejected", None, 3)
    assert rejected.errors == (CellError(**WRONG),)
    assert str(rejected.errors[0]) == "Année: 1950 to 2026"
    assert (found.total, found.pages, found.summary.total_mad) == (2, 3, 90_000.0)
    assert [(each.code, each.rows) for each in found.summary.reasons] == [("too-small", 1)]


def test_all_rows_are_read_page_by_page(call: Call) -> None:
    second = answer(page([REJECTED], 2, 2))
    with running(answer(page([VALUED], 1, 2)), second) as (url, heads):
        found = call(url, lambda client: client.batch_rows("b1", status="rejected"))
    assert [row.number for row in found] == [1, 2]
    assert lines(heads) == [
        f"GET /batches/b1/rows?sort=line&status=rejected&page={number}" for number in (1, 2)
    ]


def test_a_page_waits_for_the_index(call: Call) -> None:
    index = answer(problem("form-not-ready"), "409 Conflict", PROBLEM, Retry_After="0")
    with running(index, index, answer(page([VALUED]))) as (url, heads):
        assert call(url, lambda client: client.rows_page("b1")).total == 2
    assert len(heads) == 3


def test_rows_of_a_batch_that_runs_are_a_conflict_at_once(call: Call) -> None:
    runs = answer(problem("result-not-ready"), "409 Conflict", PROBLEM)
    with running(runs) as (url, heads), pytest.raises(ConflictError):
        call(url, lambda client: client.batch_rows("b1"))
    assert len(heads) == 1


def test_a_retried_batch_can_be_waited_for(call: Call) -> None:
    runs = answer(json.dumps(batch("RUNNING")).encode(), "202 Accepted")
    with running(runs) as (url, heads):
        retried = call(url, lambda client: client.retry_batch("b1"))
    assert lines(heads) == ["POST /batches/b1/retry"]
    assert (retried.id, retried.batch.state) == ("b1", "RUNNING")
    assert isinstance(retried.batch, Batch)


def test_corrected_cells_are_sent_with_the_rest_of_their_rows(call: Call) -> None:
    bodies: list[bytes] = []
    accepted = answer(json.dumps(batch("QUEUED", "b2")).encode(), "202 Accepted")

    def keep(connection: Any, head: bytes) -> None:
        bodies.append(head)
        accepted(connection, head)

    with running(answer(REJECTED_FILE.encode(), kind="text/csv"), keep) as (url, heads):
        sent = call(
            url,
            lambda client: client.correct_cells(
                "b1", {3: {"Année": "2016"}}, idempotency_key="key-1"
            ),
        )
    assert lines(heads) == [
        "GET /batches/b1/rejected?delimiter=comma", "POST /batches/b1/corrections"
    ]  # fmt: skip
    assert b"idempotency-key: key-1" in bodies[0].lower()
    assert sent.id == "b2"


def test_only_corrected_rows_are_written_and_their_other_cells_stay(tmp_path: Path) -> None:
    source, target = tmp_path / "rejected.csv", tmp_path / "corrected.csv"
    source.write_text(REJECTED_FILE)
    write_corrected(source, target, {3: {"Année": "2016"}})
    with target.open(newline="") as written:
        header, *rows = csv.reader(written)
    assert header == ["Marque", "Année", "Note", "row_line", "row_error"]
    assert rows == [["Renault", "2016", '\'=1, "two"\nlines', "3", "year"]]


def test_the_column_of_the_line_is_found_beside_one_of_the_same_name(tmp_path: Path) -> None:
    source, target = tmp_path / "rejected.csv", tmp_path / "corrected.csv"
    source.write_text("row_line,Année,row_line_2,row_error\n4,1016,3,year\n3,x,4,year\n")
    write_corrected(source, target, {3: {"Année": "2016"}})
    assert target.read_text().splitlines()[1:] == ["4,2016,3,year"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({7: {"Année": "2016"}}, "no rejected row is on line 7"),
        ({3: {"Year": "2016"}}, "the file has no column Year"),
        ({}, "no cell is corrected"),
    ],
)
def test_corrections_of_nothing_are_refused_before_they_are_sent(
    call: Call, cells: dict[int, dict[str, str]], said: str
) -> None:
    rejected = answer(REJECTED_FILE.encode(), kind="text/csv")
    with running(rejected) as (url, heads), pytest.raises(ValueError, match=said):
        call(url, lambda client: client.correct_cells("b1", cells))
    assert not any(head.startswith(b"POST") for head in heads)


def test_a_kept_valuation_is_deleted_once(call: Call) -> None:
    gone = answer(problem("valuation-not-found"), "404 Not Found", PROBLEM)
    with running(answer(b"", "204 No Content"), gone) as (url, heads):
        call(url, lambda client: client.delete_valuation("v1"))
        with pytest.raises(NotFoundError):
            call(url, lambda client: client.delete_valuation("v1"))
    assert lines(heads) == ["DELETE /valuations/v1"] * 2
