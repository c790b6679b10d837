"""The audit log: complete, chained, all or nothing."""

import dataclasses
import errno
import json
import os
import threading
from pathlib import Path

import pytest

from api.ops.audit_statistics import MAX_CACHED_DAYS, AuditStats, DaySums
from shared.audit.chain import ChainVerifier, day_of, file_name
from shared.audit.log import AuditLog
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import CallerId, ValuationId
from shared.domain.reading import Match, VehicleName
from shared.domain.valuation import AuditRecord, Estimate
from shared.fields.requests import load_car_request
from tests.audit_segments import write_segment
from tests.conftest import wait_until
from worker.batches.audit_segments import (
    SegmentLines,
    encode_segment,
    publish_segment,
    remove_stale,
)

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


def chain_holds(lines):
    chain = ChainVerifier()
    return all(map(chain.follow, lines)) and chain.open == 0


def test_a_record_says_how_names_were_read_unless_they_were_exact(car):
    corrected = dataclasses.replace(
        record(car), match=Match.CORRECTED, given=VehicleName("toyotta", "corolla")
    )
    members = corrected.to_json()
    assert members["match"] == "corrected"
    assert members["given"] == {"company": "toyotta", "model": "corolla"}
    assert members["features"]["company"] == "toyota"
    assert not record(car).to_json().keys() & {"match", "given"}


def test_a_record_tells_what_was_asked_and_answered(tmp_path, car):
    AuditLog(tmp_path, "w", lambda: AT).append([record(car)])
    (line,) = lines_of(tmp_path)
    stored = json.loads(line)
    assert stored["features"]["company"] == "toyota"
    assert stored["price_mad"] == 100_000.0
    assert stored["low_mad"] < stored["price_mad"] < stored["high_mad"]
    assert (stored["model_version"], stored["cached"], stored["status"]) == ("v1", False, "success")


def test_the_chain_of_an_untouched_file_holds(tmp_path, car):
    log = AuditLog(tmp_path, "w", lambda: AT)
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
    AuditLog(tmp_path, "w", lambda: AT).append([record(car, n) for n in range(4)])
    assert not chain_holds(tamper(lines_of(tmp_path)))


def test_threads_share_one_chain(tmp_path, car):
    log = AuditLog(tmp_path, "w", lambda: AT)
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


def test_records_that_wait_while_another_is_written_are_written_together(
    tmp_path, car, monkeypatch
):
    log = AuditLog(tmp_path, "w", lambda: AT)
    real_write, is_writing, go_on, writes = os.write, threading.Event(), threading.Event(), []

    def slow_write(descriptor: int, data: bytes) -> int:
        writes.append(data.count(b"\n"))
        is_writing.set()
        assert go_on.wait(10)
        return real_write(descriptor, data)

    monkeypatch.setattr(os, "write", slow_write)
    first = threading.Thread(target=log.append, args=([record(car)],))
    first.start()
    assert is_writing.wait(10)
    others = [threading.Thread(target=log.append, args=([record(car)],)) for _ in range(5)]
    for thread in others:
        thread.start()
    wait_until(lambda: len(log._waiting) == 5)
    assert all(thread.is_alive() for thread in others), "nobody leaves before his record is in"
    go_on.set()
    for thread in (first, *others):
        thread.join()
    monkeypatch.undo()
    assert writes == [1, 5]
    assert chain_holds(lines_of(tmp_path))


def test_when_the_disk_fails_every_writer_of_the_group_gets_the_error(tmp_path, car, monkeypatch):
    log = AuditLog(tmp_path, "w", lambda: AT)
    log.append([record(car)])
    refused = []

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def append() -> None:
        try:
            log.append([record(car)])
        except AuditUnavailable as error:
            refused.append(error.params["reason"])

    monkeypatch.setattr(os, "write", full)
    threads = [threading.Thread(target=append) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    assert refused == ["No space left on device"] * 8
    log.append([record(car)])
    assert len(lines_of(tmp_path)) == 2
    assert chain_holds(lines_of(tmp_path))


def test_a_new_day_opens_a_new_file(tmp_path, car):
    now = [AT]
    log = AuditLog(tmp_path, "w", lambda: now[0])
    log.append([record(car)])
    now[0] += 86_400
    log.append([record(car)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [file_name(day_of(AT), "w"), file_name(day_of(AT + 86_400), "w")]


def test_a_full_disk_refuses_the_answer_and_leaves_the_file_whole(tmp_path, car, monkeypatch):
    log = AuditLog(tmp_path, "w", lambda: AT)
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
        AuditLog(blocked / "audit", "w", lambda: AT).append([record(car)])


def segment(count, elapsed_ms):
    """The lines of a chunk that took a certain time."""
    return encode_segment(
        {
            "id": f"row-{number}",
            "status": "success",
            "cached": False,
            "price_mad": 100.0,
            "model_version": "v1",
            "response_time_ms": elapsed_ms,
        }
        for number in range(count)
    )


def test_a_repeated_segment_stays_as_it_was_first_written(tmp_path):
    first = segment(2, 1.5)
    for lines in (first, segment(2, 1234.5)):
        write_segment(tmp_path, "batch-1", AT, lines)
    (path,) = tmp_path.iterdir()
    assert path.name == file_name(day_of(AT), "batch-1")
    assert path.read_bytes() == first
    assert chain_holds(lines_of(tmp_path))


def lying_in(file, lines):
    """SegmentLines that lie in a file already."""
    file.write_bytes(lines)
    return SegmentLines(file, file.read_bytes, lines.count(b"\n"))


def test_a_segment_that_lies_in_a_file_is_not_copied_and_outlives_its_first_name(tmp_path):
    folder, blob = tmp_path / "audit", tmp_path / "blob"
    first = segment(2, 1.5)
    publish_segment(folder, "batch-1", AT, lying_in(blob, first))
    (path,) = folder.iterdir()
    assert path.samefile(blob)
    publish_segment(folder, "batch-1", AT, lying_in(tmp_path / "other", segment(2, 1234.5)))
    blob.unlink()
    assert path.read_bytes() == first
    assert chain_holds(lines_of(folder))


def test_a_segment_on_another_disk_is_copied(tmp_path, monkeypatch):
    def other_disk(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    folder, lines = tmp_path / "audit", segment(2, 1.5)
    publish_segment(folder, "batch-1", AT, lying_in(tmp_path / "blob", lines))
    (path,) = folder.iterdir()
    assert not path.samefile(tmp_path / "blob")
    assert path.read_bytes() == lines


def test_a_segment_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AuditUnavailable):
        write_segment(tmp_path, "batch-1", AT, segment(2, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_after_a_day(tmp_path):
    old, fresh = tmp_path / ".predictions_a.tmp", tmp_path / ".predictions_b.tmp"
    write_segment(tmp_path, "batch-1", AT, segment(1, 1.0))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (AT, AT))
    os.utime(fresh, (AT + 90_000, AT + 90_000))
    remove_stale(tmp_path, AT + 90_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        fresh.name,
        file_name(day_of(AT), "batch-1"),
    ]


@pytest.mark.parametrize("elapsed_ms", [7.5, 1234.5])
def test_a_file_that_is_replaced_by_a_longer_or_shorter_one_is_counted_once(tmp_path, elapsed_ms):
    stats = AuditStats(tmp_path)
    path = tmp_path / file_name(day_of(AT), "batch-1")
    path.write_bytes(segment(3, 100.5))
    assert stats.of_day(day_of(AT))["total_predictions"] == 3
    other = tmp_path / "other"
    other.write_bytes(segment(4, elapsed_ms))
    other.replace(path)
    figures = stats.of_day(day_of(AT))
    assert figures["total_predictions"] == 4
    assert figures["average_response_time_ms"] == elapsed_ms


def test_a_file_that_is_rewritten_in_place_is_counted_once(tmp_path):
    stats = AuditStats(tmp_path)
    path = tmp_path / file_name(day_of(AT), "batch-1")
    path.write_bytes(segment(3, 1.5))
    stats.of_day(day_of(AT))
    path.write_bytes(segment(5, 12345.5))
    assert stats.of_day(day_of(AT))["total_predictions"] == 5


def test_only_a_damaged_line_is_skipped(tmp_path):
    stats = AuditStats(tmp_path)
    path = tmp_path / file_name(day_of(AT), "batch-1")
    path.write_bytes(segment(2, 1.5) + b'garbage\n{"status":"success"}\n' + segment(1, 1.5))
    for _ in range(2):
        assert stats.of_day(day_of(AT))["total_predictions"] == 3


def test_a_removed_file_is_not_counted_any_more(tmp_path):
    stats = AuditStats(tmp_path)
    for name in ("batch-1", "batch-2"):
        write_segment(tmp_path, name, AT, segment(2, 1.5))
    assert stats.of_day(day_of(AT))["total_predictions"] == 4
    (tmp_path / file_name(day_of(AT), "batch-1")).unlink()
    assert stats.of_day(day_of(AT))["total_predictions"] == 2


def test_the_least_recently_used_day_is_evicted(tmp_path, monkeypatch):
    """Whatever the day's date, and whatever is asked about days without records."""
    days = [AT - number * 86_400 for number in range(MAX_CACHED_DAYS + 1)]
    for at in days:
        write_segment(tmp_path, "batch-1", at, segment(2, 1.5))
    stats = AuditStats(tmp_path)
    for at in days[:MAX_CACHED_DAYS]:
        stats.of_day(day_of(at))
    for number in range(1, 20):
        stats.of_day(day_of(AT + number * 86_400))
    stats.of_day(day_of(days[0]))
    stats.of_day(day_of(days[-1]))

    counted = []
    add = DaySums.add
    monkeypatch.setattr(DaySums, "add", lambda sums, line: (counted.append(line), add(sums, line)))
    for at in (days[0], days[-1], days[2]):
        assert stats.of_day(day_of(at))["total_predictions"] == 2
    assert counted == []
    stats.of_day(day_of(days[1]))
    assert len(counted) == 2


def test_reading_one_day_does_not_block_another(tmp_path, monkeypatch):
    for at in (AT, AT - 86_400):
        write_segment(tmp_path, "batch-1", at, segment(1, 1.5))
    stats = AuditStats(tmp_path)
    is_reading, may_go_on = threading.Event(), threading.Event()
    add = DaySums.add

    def slow(sums, line):
        if threading.current_thread() is slow_reader:
            is_reading.set()
            assert may_go_on.wait(20)
        add(sums, line)

    slow_reader = threading.Thread(target=stats.of_day, args=(day_of(AT),))
    monkeypatch.setattr(DaySums, "add", slow)
    slow_reader.start()
    assert is_reading.wait(20)
    assert stats.of_day(day_of(AT - 86_400))["total_predictions"] == 1
    may_go_on.set()
    slow_reader.join()


def test_the_figures_of_a_day_count_every_record_once_however_often_they_are_asked(tmp_path, car):
    stats = AuditStats(tmp_path)
    log = AuditLog(tmp_path, "w", lambda: AT)
    log.append([record(car, 1, price=100.0), record(car, 2, price=300.0, cached=True)])
    stats.of_day(day_of(AT))
    log.append([record(car, 3, failed=True)])
    AuditLog(tmp_path, "other", lambda: AT).append([record(car, 4, price=200.0)])
    for _ in range(2):
        figures = stats.of_day(day_of(AT))
    assert figures["total_predictions"] == 4
    assert figures["successful_predictions"] == 3
    assert figures["failed_predictions"] == 1
    assert (figures["cache_hits"], figures["cache_hit_rate"]) == (1, 25.0)
    assert (figures["min_price"], figures["max_price"], figures["average_price"]) == (100, 300, 200)
    assert figures["model_versions"] == {"v1": 3}


def test_an_incomplete_last_line_is_read_later(tmp_path, car):
    AuditLog(tmp_path, "w", lambda: AT).append([record(car, 1), record(car, 2)])
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
