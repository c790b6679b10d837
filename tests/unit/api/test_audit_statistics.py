"""Statistics of the audit log: right, incremental, kept over a restart, separate by caller."""

import threading

import pytest

from api.ops import audit_statistics, daily_sums
from api.ops.audit_statistics import MAX_CACHED_DAYS, AuditStats, sum_files_in_child
from shared.audit.chain import day_of, file_name
from shared.audit.checkpoints import Checkpoints
from shared.audit.log import AuditLog
from shared.audit.sums import FileSums, sums_file
from shared.blobs.parts import Part
from shared.domain.batch import RowCounts
from shared.domain.errors import StatisticsPending
from tests.audit_segments import AT, segment, write_segment
from tests.audit_segments import audit_record as record
from tests.conftest import wait_until
from worker.batches.audit_segments import store_segment_sums

DAY = day_of(AT)


@pytest.fixture
def read_lines(monkeypatch):
    """The lines that this process reads."""
    lines, add = [], FileSums.add_line
    monkeypatch.setattr(
        FileSums, "add_line", lambda sums, line: (lines.append(line), add(sums, line))
    )
    return lines


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
    add = FileSums.add_line
    monkeypatch.setattr(
        FileSums, "add_line", lambda sums, line: (counted.append(line), add(sums, line))
    )
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
    add = FileSums.add_line

    def slow(sums, line):
        if threading.current_thread() is slow_reader:
            is_reading.set()
            assert may_go_on.wait(20)
        add(sums, line)

    slow_reader = threading.Thread(target=stats.of_day, args=(day_of(AT),))
    monkeypatch.setattr(FileSums, "add_line", slow)
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


def test_callers_see_their_own_valuations_only(tmp_path, car):
    log = AuditLog(tmp_path, "w", lambda: AT)
    log.append([record(car, 1, price=100.0), record(car, 2, price=300.0, caller="other")])
    write_segment(tmp_path, "batch-1", AT, segment(2, caller="other"))
    stats = AuditStats(tmp_path)
    figures = {who: stats.of_day(DAY, who) for who in ("local", "other", "nobody", None)}
    counts = {who: found["total_predictions"] for who, found in figures.items()}
    assert counts == {"local": 1, "other": 3, "nobody": 0, None: 4}
    assert figures["local"]["max_price"] == 100.0
    assert figures["nobody"]["message"]


def test_after_a_restart_no_line_of_a_process_is_read_again(tmp_path, car, read_lines):
    folder, kept = tmp_path / "audit", tmp_path / "checkpoints"
    log = AuditLog(
        folder, "w", lambda: AT, checkpoints=Checkpoints(folder, kept, tmp_path / "key", lambda: AT)
    )
    log.append([record(car, number, cached=number > 3) for number in range(5)])
    log.append([record(car, 9, failed=True)])
    expected = AuditStats(folder).of_day(DAY)
    assert len(read_lines) == 6
    log.flush()
    read_lines.clear()
    assert AuditStats(folder, kept).of_day(DAY) == expected
    assert read_lines == []
    log.append([record(car, 10)])
    assert AuditStats(folder, kept).of_day(DAY)["total_predictions"] == 7
    assert len(read_lines) == 1
    log.close()


def test_a_worker_stores_the_sums_of_a_segment_that_its_lines_have(tmp_path, read_lines):
    lines = segment(3, 2.5)
    part = Part(RowCounts(valid=3), b"", b"", b"", lines, [100.0] * 3)
    write_segment(tmp_path, "batch-1", AT, lines)
    expected = AuditStats(tmp_path).of_day(DAY)
    store_segment_sums(tmp_path, "batch-1", AT, part)
    read_lines.clear()
    assert AuditStats(tmp_path).of_day(DAY) == expected
    assert read_lines == []


def test_stored_sums_of_a_file_with_other_lines_are_not_used(tmp_path):
    part = Part(RowCounts(valid=3), b"", b"", b"", segment(3), [100.0] * 3)
    store_segment_sums(tmp_path, "batch-1", AT, part)
    write_segment(tmp_path, "batch-1", AT, segment(4, 7.5))
    figures = AuditStats(tmp_path).of_day(DAY)
    assert figures["total_predictions"] == 4
    assert figures["average_response_time_ms"] == 7.5


@pytest.mark.parametrize("damage", [b"garbage\n", b'{"v":99,"file":"x"}\n', b'{"v":1,"fi'])
def test_damaged_or_newer_sums_are_ignored(tmp_path, damage):
    path = sums_file(tmp_path, DAY)
    path.parent.mkdir()
    path.write_bytes(damage)
    lines = segment(3)
    write_segment(tmp_path, "batch-1", AT, lines)
    assert AuditStats(tmp_path).of_day(DAY)["total_predictions"] == 3
    part = Part(RowCounts(valid=3), b"", b"", b"", lines, [100.0] * 3)
    store_segment_sums(tmp_path, "batch-1", AT, part)
    assert AuditStats(tmp_path).of_day(DAY)["total_predictions"] == 3


def test_many_unread_lines_are_read_by_a_child_process_once(tmp_path, monkeypatch, read_lines):
    monkeypatch.setattr(audit_statistics, "INLINE_BYTES", 0)
    for number in range(2):
        write_segment(tmp_path, f"batch-{number}", AT, segment(3))
    assert AuditStats(tmp_path).of_day(DAY)["total_predictions"] == 6
    monkeypatch.setattr(audit_statistics, "sum_files_in_child", None)
    assert AuditStats(tmp_path).of_day(DAY)["total_predictions"] == 6
    assert read_lines == []


def test_what_was_read_at_once_is_stored_when_it_is_much(tmp_path, monkeypatch, read_lines):
    monkeypatch.setattr(daily_sums, "SAVE_BYTES", 1)
    write_segment(tmp_path, "batch-1", AT, segment(3))
    AuditStats(tmp_path).of_day(DAY)
    assert len(read_lines) == 3
    assert AuditStats(tmp_path).of_day(DAY)["total_predictions"] == 3
    assert len(read_lines) == 3


def test_while_a_child_reads_few_threads_wait_and_others_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_statistics, "INLINE_BYTES", 0)
    write_segment(tmp_path, "batch-1", AT, segment(3))
    go_on, started, refused, answered = threading.Event(), [], [], []

    def slow(*given):
        started.append(given)
        assert go_on.wait(20)
        return sum_files_in_child(*given)

    stats = AuditStats(tmp_path, sum_files=slow)

    def ask():
        try:
            answered.append(stats.of_day(DAY)["total_predictions"])
        except StatisticsPending:
            refused.append(1)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(refused) == 12 - audit_statistics.MAX_WAITING, 6)
    assert answered == []
    go_on.set()
    for thread in threads:
        thread.join()
    assert answered == [3] * audit_statistics.MAX_WAITING
    assert len(started) == 1


def test_a_child_that_fails_gives_no_statistics(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_statistics, "INLINE_BYTES", 0)
    write_segment(tmp_path, "batch-1", AT, segment(3))

    def failing(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(StatisticsPending):
        AuditStats(tmp_path, sum_files=failing).of_day(DAY)
