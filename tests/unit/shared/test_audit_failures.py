"""The audit log while its disk, its inventory or its writers fail, and after deletions."""

import datetime as dt
import os
import threading

import pytest

from api.sales.log import SaleReportLog
from shared.audit.chain import GENESIS_HASH, chain, day_of, file_name
from shared.audit.checkpoints import INVENTORY_FILE
from shared.audit.erasure import erase_caller
from shared.audit.file_state import CheckpointError
from shared.audit.flusher import Flushable, _Flusher
from shared.audit.log import AuditLog, Fsync
from shared.audit.retention import remove_before
from shared.audit.sales_index import SALES_INDEX, empty_sales_index
from shared.audit.sums import CallerSums, FileSums, StoredSums, store_sums, sums_file
from shared.domain.errors import AuditNotFlushed, AuditUnavailable
from shared.domain.ids import CallerId
from shared.domain.sale import Sale, SaleReport, SaleReportKind
from tests.audit_segments import AT, audit_record, segment, write_segment
from tests.conftest import wait_until
from tests.unit.shared.test_audit_checkpoints import DAY, FILE, Log

TOMORROW = day_of(AT + 86_400)


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


def failing(_: int) -> None:
    raise OSError(5, "Input/output error")


def appended(lines: list[bytes]) -> bytes:
    """A forged record with a valid chain, to follow these lines."""
    prev = lines[-1][-len(GENESIS_HASH) - 3 : -3].decode()
    return chain([b'{"id":"forged","caller":"local"}'], prev)[0]


@pytest.fixture
def rewritten(monkeypatch):
    """Offset and content of each write at a place in a file, which only repetitions use."""
    found, real = [], os.pwrite

    def pwrite(descriptor: int, content: bytes, offset: int) -> int:
        found.append((offset, content))
        return real(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    return found


# Flushes


def test_a_failed_flush_shows_until_the_records_are_on_the_disk(tmp_path, car, monkeypatch):
    writer = AuditLog(tmp_path, "w", lambda: AT, fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car)])
    writer.check()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(AuditNotFlushed):
            writer.flush()
        with pytest.raises(AuditUnavailable, match="Input/output"):
            writer.check()
    writer.flush()
    writer.check()


def test_records_of_a_failed_flush_are_written_again(tmp_path, car, monkeypatch, rewritten):
    """As after a failed fsync of Linux: the next one succeeds without the lost pages."""
    writer = AuditLog(tmp_path, "w", lambda: AT, fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car, 1)])
    writer.flush()
    flushed = (tmp_path / FILE).stat().st_size
    writer.append([audit_record(car, 2)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(AuditUnavailable):
            writer.flush()
    before = (tmp_path / FILE).read_bytes()
    writer.append([audit_record(car, 3)])
    assert rewritten == [(flushed, before[flushed:])]
    assert (tmp_path / FILE).read_bytes()[: len(before)] == before


def test_a_flush_that_fails_while_the_next_day_begins_loses_nothing(
    log, car, monkeypatch, rewritten
):
    """The flush of the ended day then succeeds: its error was reported to the other flush."""
    writer = log.writer("w", fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car, 1)])
    ended = log.folder / file_name(DAY, "w")
    before = ended.read_bytes()
    real_flush, failures = os.fdatasync, [failing]

    def fdatasync(descriptor: int) -> None:
        if not failures:
            real_flush(descriptor)
            return
        fail = failures.pop()
        log.now += 86_400
        writer.append([audit_record(car, 2)])
        fail(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with pytest.raises(AuditNotFlushed):
        writer.sync()
    with pytest.raises(AuditUnavailable):
        writer.check()
    writer.sync()
    writer.check()
    assert before in [content for _, content in rewritten]
    assert ended.read_bytes()[: len(before)] == before


def test_a_flush_that_succeeds_does_not_hide_the_failure_of_another(
    log, car, monkeypatch, rewritten
):
    """The error of a page is reported once: the flush of the ended day may get that of ours."""
    writer = log.writer("w", fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car, 1)])
    before = (log.folder / file_name(DAY, "w")).read_bytes()
    real_flush, calls = os.fdatasync, []

    def fdatasync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            log.now += 86_400
            with pytest.raises(AuditUnavailable):
                writer.append([audit_record(car, 2)])
        elif len(calls) == 2:
            failing(descriptor)
        real_flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with pytest.raises(AuditNotFlushed):
        writer.sync()
    with pytest.raises(AuditUnavailable):
        writer.check()
    writer.sync()
    writer.check()
    assert before in [content for _, content in rewritten]


@pytest.mark.parametrize("refused", ["file", "folder"])
def test_no_file_is_begun_before_that_of_the_last_day_is_flushed(
    log, car, monkeypatch, rewritten, refused
):
    writer = log.writer("w", fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car, 1)])
    log.now += 86_400
    with monkeypatch.context() as patch:
        if refused == "file":
            patch.setattr(os, "fdatasync", failing)
        else:
            patch.setattr("shared.audit.log.fsync_folder", failing)
        for _ in "12":
            with pytest.raises(AuditUnavailable, match="Input/output"):
                writer.append([audit_record(car, 2)])
        if refused == "file":
            with pytest.raises(AuditUnavailable):
                writer.check()
    rewritten.clear()
    writer.append([audit_record(car, 2)])
    writer.check()
    ended = (log.folder / file_name(DAY, "w")).stat().st_size
    parts = [(offset, len(content)) for offset, content in rewritten]
    assert parts == ([(0, ended)] if refused == "file" else [])
    assert len(log.lines(file_name(TOMORROW, "w"))) == 1


def test_a_log_that_fails_is_due_once_however_many_records_come_meanwhile(monkeypatch):
    monkeypatch.setattr("shared.audit.flusher.FLUSH_INTERVAL_S", 0.01)
    flusher = _Flusher()
    rounds: list[int] = []
    real = flusher._flush_due

    def flush_due() -> list[Flushable]:
        rounds.append(len(flusher._due))
        return real()

    class Failing:
        def flush(self) -> None:
            if len(rounds) < 8:
                flusher.schedule(self)  # as the next record does
                raise CheckpointError("no space")

    monkeypatch.setattr(flusher, "_flush_due", flush_due)
    flusher.schedule(Failing())
    wait_until(lambda: len(rounds) == 8)
    assert set(rounds) == {1}


def test_a_damaged_inventory_stops_no_answer_and_no_flush(log, car):
    log.write(car, 1)
    inventory = log.kept / INVENTORY_FILE
    whole = inventory.read_bytes()
    inventory.write_bytes(whole + b"garbage\n")
    writer = log.writer("second", fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car, 0)])
    with pytest.raises(CheckpointError, match="damaged"):
        writer.flush()
    writer.append([audit_record(car, 1)])
    writer.check()
    assert len(log.lines(file_name(DAY, "second"))) == 2
    assert log.verify().faults
    inventory.write_bytes(whole)
    writer.flush()
    assert log.verify().faults == []


def test_a_file_that_was_begun_on_a_full_disk_is_verified_when_there_is_space(
    log, car, monkeypatch
):
    log.write(car, 1, name="before")
    writer = log.writer("w")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("shared.audit.checkpoints.temporary_file", refuse)
        full.setattr(AuditLog, "_write", refuse)
        with pytest.raises(AuditUnavailable):
            writer.append([audit_record(car)])
    assert log.lines() == []
    wait_until(lambda: not log.verify().faults, 10.0, "its first checkpoint")
    writer.close()
    assert log.verify().faults == []


def test_the_flushing_thread_survives_an_unexpected_error():
    flushed = threading.Event()

    class Odd:
        calls = 0

        def flush(self) -> None:
            self.calls += 1
            if self.calls == 1:
                raise LookupError
            flushed.set()

    _Flusher().schedule(Odd())
    assert flushed.wait(20)


# Verification


def write_and_die(log, car):
    """Write records as a process does that is killed after its last checkpoint."""
    writer = log.writer()
    writer.append([audit_record(car, number) for number in range(3)])
    writer.flush()


def test_a_torn_last_line_is_no_fault_if_nothing_recorded_is_missing(log, car):
    write_and_die(log, car)
    whole = b"".join(log.lines())
    (log.folder / FILE).write_bytes(whole + b'{"id":"torn","at":179')
    report = log.verify()
    assert (report.faults, report.records) == ([], 3)
    assert [line.partition(":")[0] for line in report.torn] == [FILE]
    (log.folder / FILE).write_bytes(whole[:-40])
    assert "the end is missing" in log.verify().faults[0]


def test_a_record_that_is_added_to_a_complete_file_is_found(log):
    name = file_name(DAY, "batch-1-0")
    write_segment(log.folder, "batch-1-0", AT, segment(2))
    log.checkpoints().list_files([log.folder / name])
    assert log.verify().faults == []
    log.put([*log.lines(name), appended(log.lines(name))], name)
    assert log.verify().faults == [f"{name}: something was added after it was complete"]


def test_records_after_the_last_checkpoint_are_counted(log, car):
    write_and_die(log, car)
    assert log.verify().uncovered == 0
    log.put([*log.lines(), appended(log.lines())])
    report = log.verify()
    assert (report.faults, report.records, report.uncovered) == ([], 4, 1)


# Deletion


def stored_sums(log: Log, file: str, caller: str) -> None:
    sums = FileSums({caller: CallerSums(successes=1)})
    store_sums(log.folder, DAY, [StoredSums(file, 1, "", sums)])


def test_the_stored_sums_of_a_deleted_caller_are_deleted(log, car):
    log.write(car, 2, caller="gone")
    log.write(car, 2, "other")
    stored_sums(log, FILE, "gone")
    stored_sums(log, file_name(DAY, "other"), "local")
    assert erase_caller(log.folder, "gone", TOMORROW, log.checkpoints()) == 2
    text = sums_file(log.folder, DAY).read_bytes()
    assert b"gone" not in text
    assert b"local" in text


def test_a_log_whose_end_was_removed_is_not_chained_again(log, car):
    log.write(car, 6, caller="gone")
    log.write(car, 6, "other", caller="gone")
    log.put(log.lines()[:2])
    with pytest.raises(CheckpointError, match="the end is missing"):
        erase_caller(log.folder, "gone", TOMORROW, log.checkpoints())
    assert len(log.lines(file_name(DAY, "other"))) == 6, "nothing was deleted"


@pytest.fixture
def sale_report():
    return SaleReport(
        valuation_id="id-1",
        caller=CallerId("dealer"),
        sale=Sale(price_mad=90_000.0, sold_at=dt.date(2026, 9, 1)),
        price_mad=100_000.0,
        low_mad=80_000.0,
        high_mad=120_000.0,
        model_version="v1",
        recorded_at=AT,
    )


def test_a_repeated_report_is_not_confirmed_while_its_line_may_be_lost(
    log, sale_report, monkeypatch
):
    sales = SaleReportLog(log.folder, "s", lambda: log.now, fsync=Fsync.ALWAYS)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        for _ in "12":
            with pytest.raises(AuditUnavailable):
                sales.put(sale_report)
    sales._lines.sync()
    assert sales.put(sale_report) == (sale_report, SaleReportKind.REPEATED)


@pytest.mark.parametrize("what", ["days", "caller"])
def test_deleted_sale_reports_leave_the_index(log, sale_report, what):
    sales = SaleReportLog(log.folder, "s", lambda: log.now, checkpoints=log.checkpoints())
    sales.put(sale_report)
    sales.close()
    if what == "days":
        assert remove_before(log.folder, TOMORROW, log.checkpoints()) == 1
    else:
        assert erase_caller(log.folder, "dealer", TOMORROW, log.checkpoints()) == 1
    assert b"dealer" not in (log.folder / SALES_INDEX).read_bytes()
    assert sales.figures() == []
    assert sales.get(sale_report.valuation_id) is None
    log.now += 86_400
    sales.put(sale_report)
    assert len(sales.figures()) == 1


def test_an_index_that_cannot_be_emptied_is_reported(log, car):
    log.write(car, 1, caller="gone")
    (log.folder / SALES_INDEX).write_bytes(b"no database" * 100)
    with pytest.raises(CheckpointError, match="delete it"):
        empty_sales_index(log.folder)
