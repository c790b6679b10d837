"""The audit log: complete, chained, all or nothing."""

import json
import os
import threading
from pathlib import Path

import pytest

from shared.adapters.audit_stats import AuditStats
from shared.adapters.jsonl_audit import (
    GENESIS,
    JsonlAuditLog,
    day_of,
    file_name,
    verify_line,
    write_segment,
)
from shared.domain.audit import AuditRecord
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import CallerId, ValuationId
from shared.domain.valuation import Estimate
from shared.schemas.car import load_car_request

AT = 1_790_000_000.0


def record(car, number=1, *, price=100_000.0, cached=False, failed=False):
    """An audit record of one valuation."""
    return AuditRecord(
        id=ValuationId(f"id-{number}"),
        at=AT,
        caller=CallerId("local"),
        car=load_car_request(car).car,
        estimate=None
        if failed
        else Estimate(
            price_mad=price,
            quantiles_mad=tuple(price * (0.8 + 0.05 * i) for i in range(9)),
            model_version="v1",
            model_known=True,
        ),
        cached=cached,
        response_time_ms=2.0,
        error="valuation-failed" if failed else None,
    )


def lines_of(folder: Path) -> list[bytes]:
    """All lines of the only file of a folder."""
    (path,) = folder.glob("predictions_*.jsonl")
    return path.read_bytes().splitlines(keepends=True)


def chain_holds(lines: list[bytes]) -> bool:
    """Whether each line follows the one before."""
    prev: str | None = GENESIS
    for line in lines:
        prev = verify_line(line, prev)
        if prev is None:
            return False
    return True


def test_a_record_tells_what_was_asked_and_answered(tmp_path, car):
    JsonlAuditLog(tmp_path, "w", lambda: AT).append([record(car)])
    (line,) = lines_of(tmp_path)
    stored = json.loads(line)
    assert stored["features"]["company"] == "toyota"
    assert stored["price_mad"] == 100_000.0
    assert stored["low_mad"] < stored["price_mad"] < stored["high_mad"]
    assert (stored["model_version"], stored["cached"], stored["status"]) == ("v1", False, "success")


def test_the_chain_of_an_untouched_file_holds(tmp_path, car):
    log = JsonlAuditLog(tmp_path, "w", lambda: AT)
    for number in range(5):
        log.append([record(car, number), record(car, number + 100)])
    assert len(lines_of(tmp_path)) == 10
    assert chain_holds(lines_of(tmp_path))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda lines: [lines[0].replace(b"100000.0", b"200000.0"), *lines[1:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:-1], lines[-1][: len(lines[-1]) // 2]],
    ],
    ids=["changed", "missing", "reordered", "torn"],
)
def test_a_changed_missing_reordered_or_torn_record_breaks_the_chain(tmp_path, car, tamper):
    JsonlAuditLog(tmp_path, "w", lambda: AT).append([record(car, n) for n in range(4)])
    assert not chain_holds(tamper(lines_of(tmp_path)))


def test_threads_share_one_chain(tmp_path, car):
    log = JsonlAuditLog(tmp_path, "w", lambda: AT)
    threads = [
        threading.Thread(target=lambda: [log.append([record(car)]) for _ in range(50)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines_of(tmp_path)) == 400
    assert chain_holds(lines_of(tmp_path))


def test_a_new_day_opens_a_new_file(tmp_path, car):
    now = [AT]
    log = JsonlAuditLog(tmp_path, "w", lambda: now[0])
    log.append([record(car)])
    now[0] += 86_400
    log.append([record(car)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [file_name(day_of(AT), "w"), file_name(day_of(AT + 86_400), "w")]


def test_a_full_disk_refuses_the_answer_and_leaves_the_file_whole(tmp_path, car, monkeypatch):
    log = JsonlAuditLog(tmp_path, "w", lambda: AT)
    log.append([record(car)])
    before = lines_of(tmp_path)
    real_write = os.write

    def half_a_write(descriptor: int, data: bytes) -> int:
        if len(data) < 300:
            raise OSError(28, "No space left on device")
        return real_write(descriptor, data[: len(data) - 100])

    monkeypatch.setattr(os, "write", half_a_write)
    with pytest.raises(AuditUnavailable):
        log.append([record(car, 2)])
    monkeypatch.undo()
    assert lines_of(tmp_path) == before
    log.append([record(car, 3)])
    assert chain_holds(lines_of(tmp_path))


def test_a_folder_that_cannot_be_written_is_reported(tmp_path, car):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(AuditUnavailable):
        JsonlAuditLog(blocked / "audit", "w", lambda: AT).append([record(car)])


def test_a_repeated_segment_replaces_itself(tmp_path):
    records = [{"id": "a", "status": "success"}, {"id": "b", "status": "success"}]
    for _ in range(2):
        write_segment(tmp_path, "batch-1", AT, [dict(each) for each in records])
    assert len(lines_of(tmp_path)) == 2
    assert chain_holds(lines_of(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [file_name(day_of(AT), "batch-1")]


def test_the_figures_of_a_day_count_every_record_once_however_often_they_are_asked(tmp_path, car):
    stats = AuditStats(tmp_path)
    log = JsonlAuditLog(tmp_path, "w", lambda: AT)
    log.append([record(car, 1, price=100.0), record(car, 2, price=300.0, cached=True)])
    stats.of_day(day_of(AT))
    log.append([record(car, 3, failed=True)])
    JsonlAuditLog(tmp_path, "other", lambda: AT).append([record(car, 4, price=200.0)])
    for _ in range(2):
        figures = stats.of_day(day_of(AT))
    assert figures["total_predictions"] == 4
    assert figures["successful_predictions"] == 3
    assert figures["failed_predictions"] == 1
    assert (figures["cache_hits"], figures["cache_hit_rate"]) == (1, 25.0)
    assert (figures["min_price"], figures["max_price"], figures["average_price"]) == (100, 300, 200)
    assert figures["model_versions"] == {"v1": 3}


def test_a_torn_last_line_is_left_for_later(tmp_path, car):
    JsonlAuditLog(tmp_path, "w", lambda: AT).append([record(car, 1), record(car, 2)])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    stats = AuditStats(tmp_path)
    path.write_bytes(whole[:-10])
    assert stats.of_day(day_of(AT))["total_predictions"] == 1
    path.write_bytes(whole)
    assert stats.of_day(day_of(AT))["total_predictions"] == 2


def test_a_day_without_records_says_so(tmp_path):
    figures = AuditStats(tmp_path).of_day("2020-01-01")
    assert figures["total_predictions"] == 0
    assert figures["message"]
