"""The fault harness finds what it looks for."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import check
from benchmarks.faults.audit import AuditReader
from benchmarks.faults.check import Checker, Result
from benchmarks.faults.load import JOBS_CC, answers_of, car, is_unclear, reason_of, rows_csv
from benchmarks.faults.work import Kind, Ledger, Verdict


class RunningService:
    """A service whose answers are given by path."""

    def __init__(self, folder: Path, answers: dict[str, Any]) -> None:
        self.seen_home = folder
        self._answers = answers
        self.asked: list[str] = []

    def connection(self) -> "RunningService":
        return self

    def request(self, _method: str, path: str, _body: object = None) -> tuple[int, bytes]:
        self.asked.append(path)
        answer = self._answers.get(path, 404)
        if isinstance(answer, int):
            return answer, b"{}"
        return 200, answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def write_log(folder: Path, *records: dict[str, Any], name: str = "predictions_x.api") -> None:
    (folder / "audit").mkdir(exist_ok=True)
    with (folder / "audit" / f"{name}.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def ended_job(result: Any = None, state: str = "SUCCEEDED") -> dict[str, Any]:
    finished_at = "2026-01-01T00:00:00+00:00"
    return {"state": state, "finished_at": finished_at, "result": result or {"price_mad": 1.0}}


def checked(folder: Path, ledger: Ledger, answers: dict[str, Any] | None = None) -> Result:
    service: Any = RunningService(folder, answers or {})
    return Checker(service, ledger).check("a fault", None)


@pytest.fixture(autouse=True)
def short_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "DRAIN_S", 0.3)
    monkeypatch.setattr(check, "POLL_S", 0.01)


def test_answers_with_one_record_each_are_well(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.answer("a", time.time(), is_cached=False)
    ledger.accept(Kind.LIST, "list", 2)
    write_log(tmp_path, {"id": "a"}, {"id": "list-1"}, {"id": "list-2"})
    result = checked(tmp_path, ledger, {"/jobs/list": ended_job([{"price_mad": 1.0}] * 2)})
    assert result.is_well
    assert result.items == 3


def test_a_dead_letter_is_replayed_and_one_that_stays_is_lost(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.accept(Kind.JOB, "job", 1)
    dead = ended_job(state="FAILED") | {"error": {"code": "attempts-exhausted"}}
    answers = {"/jobs/job": dead, "/dead-letters": {"dead_letters": [{"id": "letter"}]}}
    service: Any = RunningService(tmp_path, answers)
    result = Checker(service, ledger).check("a fault", None)
    assert (result.lost, ledger.works[0].remark) == (1, "not ended within 0.3 s")
    assert "/dead-letters/letter/replay" in service.asked


def test_answers_without_and_with_two_records_are_found(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.answer("a", time.time(), is_cached=False)
    ledger.answer("b", time.time(), is_cached=False)
    write_log(tmp_path, {"id": "b"}, {"id": "b"})
    result = checked(tmp_path, ledger)
    assert (result.unrecorded, result.duplicated, result.lost) == (1, 1, 0)


@pytest.mark.parametrize(
    "answer",
    [
        404,
        410,
        500,
        ended_job(state="FAILED"),
        ended_job([{"price_mad": 1.0}]),
        {"state": "QUEUED"},
    ],
    ids=["missing", "gone", "unreadable", "failed", "a car is missing", "not ended"],
)
def test_work_without_its_answer_is_lost(tmp_path: Path, answer: Any) -> None:
    ledger = Ledger()
    ledger.accept(Kind.LIST, "list", 2)
    write_log(tmp_path, {"id": "list-1"}, {"id": "list-2"})
    assert checked(tmp_path, ledger, {"/jobs/list": answer}).lost == 2


@pytest.mark.parametrize(
    ("refs", "verdict"),
    [
        ([1, 2], Verdict.COMPLETE),
        ([1], Verdict.LOST),
        ([1, 1], Verdict.LOST),
        ([2, 1], Verdict.LOST),
    ],
)
def test_each_row_of_a_batch_comes_once_and_in_order(
    tmp_path: Path, refs: list[int], verdict: Verdict
) -> None:
    counts = {"total": 2, "done": 2, "valid": 2, "invalid": 0, "failed": 0}
    table = b"ref;price_mad\n" + b"".join(b"R%d;1\n" % ref for ref in refs)
    ledger = Ledger()
    work = ledger.accept(Kind.BATCH, "b", 2)
    answers = {"/batches/b": ended_job() | {"counts": counts}, "/batches/b/results": table}
    checked(tmp_path, ledger, answers)
    assert work.verdict is verdict


@pytest.mark.parametrize(
    ("number", "price_mad", "wrong"), [(7, 10.5, 0), (7, 11.0, 1), (8, 10.5, 1)]
)
def test_an_answer_that_differs_from_its_record_is_found(
    tmp_path: Path, number: int, price_mad: float, wrong: int
) -> None:
    ledger = Ledger()
    ledger.accept(Kind.LIST, "list", 2).answers = answers_of([car(6), car(7)])
    ledger.answer("a", time.time(), is_cached=False).answers = answers_of([car(7)], [10.5])
    record = {"features": car(number), "price_mad": price_mad}
    write_log(tmp_path, {"id": "list-1", "features": car(6), "price_mad": 9.5})
    write_log(tmp_path, *({"id": each} | record for each in ("list-2", "a")))
    result = checked(
        tmp_path, ledger, {"/jobs/list": ended_job([{"price_mad": 9.5}, {"price_mad": 10.5}])}
    )
    assert (result.lost, result.wrong) == (0, 2 * wrong)
    assert result.is_well is not bool(wrong)


def test_a_second_record_that_comes_after_the_check_is_found_at_the_end(tmp_path: Path) -> None:
    ledger = Ledger()
    for each in ("a", "b"):
        ledger.answer(each, time.time(), is_cached=False)
    write_log(tmp_path, {"id": "a"}, {"id": "a"}, {"id": "b"})
    service: Any = RunningService(tmp_path, {})
    checker = Checker(service, ledger)
    assert checker.check("a fault", None).duplicated == 1
    assert checker.recheck().is_well
    write_log(tmp_path, {"id": "b"})
    assert checker.recheck().duplicated == 1


def test_a_sale_report_without_a_record_is_found(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.report_sale("a")
    ledger.report_sale("b")
    write_log(tmp_path, {"id": "b"}, name="outcomes_x.api")
    assert checked(tmp_path, ledger).unrecorded == 1


def test_a_car_of_a_job_that_was_valued_under_two_ids_is_found(tmp_path: Path) -> None:
    features = car(7, JOBS_CC)
    write_log(tmp_path, {"id": "a", "features": features}, {"id": "b", "features": features})
    write_log(tmp_path, {"id": "c", "features": car(8, JOBS_CC)})
    assert checked(tmp_path, Ledger()).duplicated == 1


def test_a_torn_line_is_counted_when_it_is_complete(tmp_path: Path) -> None:
    write_log(tmp_path, {"id": "a"})
    path = tmp_path / "audit" / "predictions_x.api.jsonl"
    reader = AuditReader(tmp_path / "audit")
    path.write_text(path.read_text() + '{"id": "b"')
    reader.read()
    assert dict(reader.answers) == {"a": 1}
    with path.open("a") as file:
        file.write("}\n")
    reader.read()
    assert dict(reader.answers) == {"a": 1, "b": 1}


def test_refusals_without_a_true_reason_are_unclear() -> None:
    ledger = Ledger()
    full = json.dumps({"type": "/docs/problems#broker-full"}).encode()
    for status, body in ((503, full), (503, b"oops"), (500, full)):
        ledger.refuse(Kind.JOB, reason_of(status, body))
    ledger.refuse(Kind.JOB, "connection: ConnectionRefusedError")
    ledger.refuse(Kind.JOB, "connection: TimeoutError")
    unclear = [reason for reason in ledger.refusals if is_unclear(reason)]
    assert unclear == [
        "job: 503 without a reason",
        "job: 500 broker-full",
        "job: connection: TimeoutError",
    ]


def test_the_last_rows_of_a_file_are_the_invalid_ones() -> None:
    text, valid = rows_csv(100)
    years = [line.split(";")[3] for line in text.decode().splitlines()[1:]]
    assert years == ["2018"] * valid + ["1718"] * (100 - valid)
    assert valid == 98
