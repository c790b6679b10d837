"""The audit log: complete, chained, all or nothing."""

import dataclasses
import errno
import json
import os
import threading
from pathlib import Path

import pytest

from shared.audit.chain import ChainVerifier, day_of, file_name
from shared.audit.log import AuditLog
from shared.domain.errors import AuditUnavailable
from shared.domain.reading import Match, VehicleName
from tests.audit_segments import audit_record as record
from tests.audit_segments import segment, write_segment
from tests.conftest import wait_until
from worker.batches.audit_segments import (
    SegmentLines,
    publish_segment,
    remove_stale,
)

AT = 1_790_000_000.0


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


@pytest.mark.parametrize("set_by_s", [-5 * 86_400, 5 * 86_400])
def test_a_record_is_known_after_the_clock_was_set_by_days(tmp_path, car, set_by_s):
    now = [AT]
    log = AuditLog(tmp_path, "worker-1", lambda: now[0], monotonic=lambda: 0.0)
    written = record(car)
    log.append([written])
    now[0] += set_by_s
    assert log.recorded([written.id]) == {written.id}
    log.append([dataclasses.replace(record(car), id="another")])
    assert log.recorded([written.id, "another"]) == {written.id, "another"}


def test_a_file_ends_when_the_clock_is_set_and_no_name_is_used_twice(tmp_path, car):
    now, elapsed = [AT], [0.0]
    log = AuditLog(tmp_path, "worker-1", lambda: now[0], monotonic=lambda: elapsed[0])
    for step_s in (0.5, 86_400, -86_400, 86_400, 0.5):
        elapsed[0] += 1.0
        now[0] += 1.0 + step_s
        log.append([record(car)])
    paths = list(tmp_path.glob("predictions_*.jsonl"))
    assert len(paths) == 4
    assert sum(len(path.read_bytes().splitlines()) for path in paths) == 5
    assert all(chain_holds(path.read_bytes().splitlines(keepends=True)) for path in paths)
