"""Checkpoints: what the hash chain alone cannot show is found."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.audit.chain import GENESIS_HASH, chain, day_of, file_name
from shared.audit.checkpoints import INVENTORY_FILE, Checkpoints, checkpoint_path
from shared.audit.erasure import erase_caller
from shared.audit.file_state import CheckpointError
from shared.audit.inventory import Kind
from shared.audit.log import AuditLog, Fsync
from shared.audit.retention import AuditRetention, remove_before
from shared.audit.verification import Report, verify_log
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import new_id
from tests.audit_segments import AT, audit_record, segment, write_segment
from tests.conftest import wait_until

DAY = day_of(AT)
FILE = file_name(DAY, "w")


class Log:
    """An audit log with checkpoints in a folder."""

    def __init__(self, home: Path) -> None:
        self.folder, self.kept = home / "audit", home / "checkpoints"
        self.key = home / "key"
        self.now = AT

    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder, self.kept, self.key, lambda: self.now)

    def writer(self, name: str = "w", **options: object) -> AuditLog:
        return AuditLog(
            self.folder,
            name,
            lambda: self.now,
            checkpoints=self.checkpoints(),
            **options,
        )

    def write(self, car: object, count: int, name: str = "w", **record: object) -> None:
        """Write records as a process does that then stops."""
        writer = self.writer(name)
        for number in range(count):
            writer.append([audit_record(car, number, **record)])
        writer.close()

    def lines(self, name: str = FILE) -> list[bytes]:
        return (self.folder / name).read_bytes().splitlines(keepends=True)

    def put(self, lines: list[bytes], name: str = FILE) -> None:
        """Replace a file, as somebody does who may write the audit log but lacks the key."""
        path = self.folder / name
        path.write_bytes(b"".join(lines))
        os.utime(path, (AT, AT))

    def verify(self) -> Report:
        return verify_log(self.folder, self.kept, self.key)


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


def rechained(lines: list[bytes]) -> list[bytes]:
    """Other records with a valid chain."""
    bodies = [line[: line.index(b',"prev"')].replace(b"100000", b"900000") + b"}" for line in lines]
    return [chain(bodies, GENESIS_HASH)[0]]


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (lambda lines: lines[:-3], "the end is missing"),
        (lambda lines: [*lines[:-1], lines[-1][:-20]], "the end is missing"),
        (lambda _lines: [], "the end is missing"),
        (rechained, "computed again"),
        (lambda lines: rechained(lines[1:]), "the end is missing"),
        (lambda lines: rechained([*lines, lines[0]]), "computed again"),
    ],
    ids=["last lines", "half a line", "all lines", "recomputed", "one removed", "one added"],
)
def test_what_keeps_the_chain_valid_is_found(log, car, tamper: Callable, says):
    log.write(car, 10)
    assert log.verify().faults == []
    log.put(tamper(log.lines()))
    (fault,) = log.verify().faults
    assert fault.startswith(f"{FILE}: ")
    assert says in fault


def test_a_removed_file_is_found(log, car):
    log.write(car, 3)
    log.write(car, 3, "other")
    (log.folder / FILE).unlink()
    assert log.verify().faults == [f"{FILE}: the file was removed"]


def test_a_removed_file_is_found_when_its_checkpoint_is_removed_too(log, car):
    log.write(car, 3)
    (log.folder / FILE).unlink()
    checkpoint_path(log.kept, FILE).unlink()
    assert log.verify().faults == [f"{FILE}: the file was removed"]


def test_an_added_file_is_found(log, car, monkeypatch):
    log.write(car, 3)
    log.put(log.lines(), file_name(DAY, "forged"))
    monkeypatch.setattr("shared.audit.verification.OPENING_S", -1.0)
    (fault,) = log.verify().faults
    assert "forged.jsonl: the file is not in the inventory" in fault


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (lambda log: checkpoint_path(log.kept, FILE).unlink(), "its checkpoint is missing"),
        (
            lambda log: checkpoint_path(log.kept, FILE).write_bytes(
                checkpoint_path(log.kept, FILE).read_bytes().replace(b'"records":3', b'"records":2')
            ),
            "its checkpoint is not authentic",
        ),
        (
            lambda log: checkpoint_path(log.kept, FILE).write_bytes(
                checkpoint_path(log.kept, file_name(DAY, "other")).read_bytes()
            ),
            "its checkpoint is not authentic",
        ),
        (lambda log: (log.kept / INVENTORY_FILE).unlink(), "the inventory was removed"),
        (lambda log: log.key.unlink(), "the key of the checkpoints is missing"),
        (lambda log: log.key.write_text("00" * 32), "not authentic"),
    ],
    ids=["removed", "changed", "swapped", "inventory", "key", "other key"],
)
def test_changed_checkpoints_are_found(log, car, tamper, says):
    log.write(car, 3)
    log.write(car, 3, "other")
    tamper(log)
    assert any(says in fault for fault in log.verify().faults)


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_an_entry_removed_from_the_inventory_is_found(log, car, cut):
    for name in ("a", "b", "c"):
        log.write(car, 1, name)
    path = log.kept / INVENTORY_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:cut] + lines[cut + 1 :]))
    assert "is missing" in log.verify().faults[0]


def test_a_removed_inventory_that_is_begun_again_is_reported_for_ever(log, car):
    log.write(car, 3)
    for path in log.kept.iterdir():
        path.unlink()
    log.write(car, 3, "other")
    assert any("an earlier inventory was removed" in fault for fault in log.verify().faults)


def test_an_entry_that_a_crash_cut_off_is_written_over(log, car):
    log.write(car, 3)
    with (log.kept / INVENTORY_FILE).open("ab") as file:
        file.write(b'{"v":1,"kind":"op')
    log.write(car, 3, "other")
    assert log.verify().faults == []
    (log.folder / file_name(DAY, "other")).unlink()
    assert len(log.verify().faults) == 1


def test_files_of_an_earlier_release_are_protected_from_the_first_start_on(log, car):
    old = AuditLog(log.folder, "old", lambda: AT)
    old.append([audit_record(car, number) for number in range(5)])
    log.write(car, 1)
    old.append([audit_record(car, 6)])  # it runs until it is updated
    report = log.verify()
    assert (report.faults, report.adopted, report.records) == ([], 1, 7)
    name = file_name(DAY, "old")
    log.put(log.lines(name)[:4], name)
    assert len(log.verify().faults) == 1


def test_segments_of_an_open_batch_are_no_fault_and_of_an_old_one_are(log, car):
    log.write(car, 1)
    write_segment(log.folder, f"batch-{new_id()}-0", AT, segment(2))
    assert (log.verify().faults, log.verify().open_segments) == ([], 1)
    write_segment(log.folder, f"batch-{new_id(AT - 10 * 86_400)}-0", AT, segment(2))
    write_segment(log.folder, "batch-x-0", AT, segment(2))
    assert len(log.verify().faults) == 2


def test_a_listed_segment_that_is_removed_or_replaced_is_found(log):
    names = [f"batch-{new_id()}-{number}" for number in range(2)]
    for name in names:
        write_segment(log.folder, name, AT, segment(2))
    first, second = (log.folder / file_name(DAY, name) for name in names)
    log.checkpoints().list_files([first, second])
    assert log.verify().faults == []
    first.unlink()
    second.write_bytes(segment(2, 9.5))
    assert len(log.verify().faults) == 2


def test_a_process_writes_checkpoints_while_it_runs(log, car):
    log.writer().append([audit_record(car)])
    checkpoint = checkpoint_path(log.kept, FILE)
    wait_until(lambda: b'"records":1,' in checkpoint.read_bytes(), 10)
    assert log.verify().faults == []
    log.put([])
    assert len(log.verify().faults) == 1


def test_the_file_of_a_former_day_has_a_last_checkpoint(log, car):
    writer = log.writer()
    writer.append([audit_record(car)] * 3)
    log.now += 86_400
    writer.append([audit_record(car)])
    log.put(log.lines()[:2])
    assert len(log.verify().faults) == 1


def test_answers_are_given_while_checkpoints_cannot_be_written(log, car):
    log.kept.write_text("a file")
    writer = log.writer()
    writer.append([audit_record(car)])
    with pytest.raises(CheckpointError):
        writer.flush()
    log.kept.unlink()
    writer.append([audit_record(car)])
    writer.flush()
    assert log.verify().faults == []


def test_processes_that_begin_at_once_share_one_key_and_inventory(log, car):
    threads = [threading.Thread(target=log.write, args=(car, 3, f"w{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = log.verify()
    assert (report.faults, report.files, report.records) == ([], 8, 24)
    assert log.key.stat().st_mode & 0o777 == 0o600
    assert log.kept.stat().st_mode & 0o777 == 0o700


def test_deleted_days_are_no_fault_and_other_removed_files_are(log, car):
    log.now = AT - 40 * 86_400
    log.write(car, 2, "old")
    log.now = AT
    log.write(car, 2)
    now = [0.0]
    retention = AuditRetention(
        log.folder, log.checkpoints(), lambda: AT, days=30, monotonic=lambda: now[0]
    )
    assert retention.sweep() == 1
    assert (log.verify().faults, log.verify().files) == ([], 1)
    assert not checkpoint_path(log.kept, file_name(day_of(AT - 40 * 86_400), "old")).exists()
    (log.folder / FILE).unlink()
    assert len(log.verify().faults) == 1


def test_without_retention_nothing_is_deleted(log, car):
    log.write(car, 2)
    retention = AuditRetention(log.folder, log.checkpoints(), lambda: AT + 1e9, days=0)
    assert retention.sweep() == 0
    assert len(log.lines()) == 2


def test_a_deletion_that_a_crash_interrupted_is_finished_by_the_next(log, car, monkeypatch):
    log.write(car, 2)
    later = day_of(AT + 86_400)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "I/O")))
        with pytest.raises(OSError, match="I/O"):
            remove_before(log.folder, later, log.checkpoints())
    assert len(log.verify().faults) <= 1
    remove_before(log.folder, later, log.checkpoints())
    assert (log.verify().faults, log.verify().files) == ([], 0)


def test_the_records_of_one_caller_are_deleted_and_the_rest_stays_verifiable(log, car):
    writer = log.writer()
    for number in range(6):
        caller = "gone" if number % 2 else "local"
        writer.append([audit_record(car, number, caller=caller)])
    writer.close()
    write_segment(log.folder, "batch-1-0", AT, segment(2, caller="gone"))
    write_segment(log.folder, "batch-2-0", AT, segment(2))
    log.checkpoints().list_files(sorted(log.folder.glob("*batch*")))
    untouched = log.lines(file_name(DAY, "batch-2-0"))
    erased = erase_caller(log.folder, "gone", day_of(AT + 86_400), log.checkpoints())
    assert erased == 5
    report = log.verify()
    assert (report.faults, report.records) == ([], 5)
    assert not any(b"gone" in path.read_bytes() for path in log.folder.glob("*.jsonl"))
    assert log.lines(file_name(DAY, "batch-2-0")) == untouched
    log.put(log.lines()[:-1])
    assert len(log.verify().faults) == 1


def test_records_of_today_and_of_damaged_files_are_not_deleted(log, car):
    log.write(car, 3)
    assert erase_caller(log.folder, "local", DAY, log.checkpoints()) == 0
    log.put([b"garbage\n", *log.lines()])
    with pytest.raises(CheckpointError):
        erase_caller(log.folder, "local", day_of(AT + 86_400), log.checkpoints())


def test_the_inventory_lists_each_file_once_however_often_it_is_written(log, car):
    writer = log.writer()
    for number in range(3):
        writer.append([audit_record(car, number)])
        writer.flush()
    with log.checkpoints().locked() as inventory:
        kinds = [entry.kind for entry in inventory.read()]
    assert kinds in ([Kind.STARTED, Kind.OPENED], [Kind.STARTED, Kind.ADOPTED, Kind.OPENED])


@pytest.fixture
def synced(monkeypatch):
    """Sizes of the files when they were flushed to the disk."""
    sizes, real = [], os.fdatasync

    def fdatasync(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return sizes


def test_always_flushes_each_record_before_append_returns(tmp_path, car, synced):
    writer = AuditLog(tmp_path, "w", lambda: AT, fsync=Fsync.ALWAYS)
    for _ in range(3):
        writer.append([audit_record(car)])
        assert synced[-1] == (tmp_path / FILE).stat().st_size


def test_everysec_flushes_within_a_second_or_two(tmp_path, car, synced):
    writer = AuditLog(tmp_path, "w", lambda: AT, fsync=Fsync.EVERYSEC)
    for _ in range(50):
        writer.append([audit_record(car)])
    wait_until(lambda: synced and synced[-1] == (tmp_path / FILE).stat().st_size, 10)
    assert len(synced) < 5


def test_threads_that_wait_for_the_disk_share_a_flush(tmp_path, car, monkeypatch):
    writer = AuditLog(tmp_path, "w", lambda: AT, fsync=Fsync.ALWAYS)
    flushes, is_flushing, go_on = [], threading.Event(), threading.Event()

    def slow(descriptor: int) -> None:
        flushes.append(os.fstat(descriptor).st_size)
        is_flushing.set()
        assert go_on.wait(20)

    monkeypatch.setattr(os, "fdatasync", slow)
    threads = [
        threading.Thread(target=writer.append, args=([audit_record(car, n)],)) for n in range(10)
    ]
    threads[0].start()
    assert is_flushing.wait(20)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: (tmp_path / FILE).read_bytes().count(b"\n") == 10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(flushes) == 2
    assert flushes[-1] == (tmp_path / FILE).stat().st_size


def test_after_a_failed_flush_answers_are_refused_until_one_succeeds(tmp_path, car, monkeypatch):
    writer = AuditLog(tmp_path, "w", lambda: AT, fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car)])

    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(AuditUnavailable):
            writer.flush()
        with pytest.raises(AuditUnavailable):
            writer.append([audit_record(car)])
    writer.append([audit_record(car)])
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 2


def test_a_process_that_is_killed_right_after_its_first_record_leaves_no_fault(
    log, car, monkeypatch
):
    monkeypatch.setattr("shared.audit.verification.OPENING_S", -1.0)
    monkeypatch.setattr("shared.audit.log.schedule_flush", lambda _: None)
    log.write(car, 1)
    log.writer("killed").append([audit_record(car, 0)])
    report = log.verify()
    assert (report.files, report.records, report.faults) == (2, 2, [])


def test_an_answer_does_not_wait_for_somebody_who_holds_the_inventory(log, car, monkeypatch):
    monkeypatch.setattr("shared.audit.log.schedule_flush", lambda _: None)
    log.write(car, 1)
    writer = log.writer("second")
    with log.checkpoints().locked():
        answered = threading.Thread(target=writer.append, args=[[audit_record(car, 0)]])
        answered.start()
        answered.join(10)
        assert not answered.is_alive()
    writer.flush()
    assert (log.verify().records, log.verify().faults) == (2, [])
