"""Files that get no more records are closed; checkpoints survive a power failure."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared.audit.chain import day_of, file_name
from shared.audit.checkpoints import checkpoint_path
from shared.audit.erasure import erase_caller
from shared.audit.log import Fsync
from tests.audit_segments import AT, audit_record
from tests.conftest import ROOT
from tests.unit.shared.test_audit_checkpoints import DAY, FILE, Log
from tests.unit.shared.test_audit_failures import appended, failing

ADDED = f"{FILE}: something was added after it was complete"
PROCESS = """
import multiprocessing, os, sys
from pathlib import Path
from shared.audit.flusher import close_logs
from tests.audit_segments import audit_record
from tests.conftest import REFERENCE_CAR
from tests.unit.shared.test_audit_checkpoints import Log
home, end = sys.argv[1:]

def answer():
    global writer
    writer = Log(Path(home)).writer()
    for number in range(3):
        writer.append([audit_record(dict(REFERENCE_CAR), number)])
    writer.flush()
    if end == "killed":
        os.kill(os.getpid(), 9)
    if end == "pool process":
        close_logs(sender=None, pid=os.getpid(), exitcode=0)
        os._exit(0)

if end == "process of multiprocessing":
    child = multiprocessing.get_context("fork").Process(target=answer)
    child.start()
    child.join()
else:
    answer()
"""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def add_record(log: Log, name: str = FILE) -> None:
    """Add a record as somebody does who may write the audit log but lacks the key."""
    lines = log.lines(name)
    log.put([*lines, appended(lines)], name)


@pytest.mark.parametrize("end", ["program", "process of multiprocessing", "pool process"])
def test_records_added_after_a_process_has_stopped_are_found(log: Log, tmp_path: Path, end: str):
    run_process(tmp_path, end)
    assert (log.verify().records, log.verify().faults) == (3, [])
    add_record(log)
    assert log.verify().faults == [ADDED]


def test_records_added_to_the_file_of_a_killed_process_are_counted(log: Log, tmp_path: Path):
    run_process(tmp_path, "killed")
    assert (log.verify().faults, log.verify().uncovered) == ([], 0)
    add_record(log)
    assert (log.verify().faults, log.verify().uncovered) == ([], 1)


def run_process(home: Path, end: str) -> None:
    subprocess.run(
        [sys.executable, "-c", PROCESS, str(home), end],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=end != "killed",
        timeout=60,
    )


def test_records_added_to_the_file_of_a_former_day_are_found(log: Log, car):
    writer = log.writer()
    writer.append([audit_record(car)])
    log.now += 86_400
    writer.append([audit_record(car)])
    assert log.verify().faults == []
    add_record(log)
    assert log.verify().faults == [ADDED]


def test_half_a_line_added_to_a_closed_file_is_found(log: Log, car):
    log.write(car, 3)
    log.put([*log.lines(), b'{"id":"forged"'])
    assert len(log.verify().faults) == 1


def test_an_answer_given_while_the_process_stops_gets_a_file_of_its_own(log: Log, car):
    writer = log.writer()
    for number in range(3):
        writer.append([audit_record(car, number)])
        writer.close()
    assert (log.verify().files, log.verify().records, log.verify().faults) == (3, 3, [])
    for name in (FILE, file_name(DAY, "w-1"), file_name(DAY, "w-2")):
        add_record(log, name)
    assert len(log.verify().faults) == 3


def test_a_flush_that_comes_late_does_not_open_a_closed_file(log: Log, car, monkeypatch):
    writer = log.writer(fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car)])
    is_flushing, go_on = threading.Event(), threading.Event()

    def slow_sync() -> None:
        is_flushing.set()
        assert go_on.wait(20)

    monkeypatch.setattr(writer, "sync", slow_sync)
    flush = threading.Thread(target=writer.flush)
    flush.start()
    assert is_flushing.wait(20)
    writer.close()
    go_on.set()
    flush.join()
    add_record(log)
    assert log.verify().faults == [ADDED]


def test_a_file_that_could_not_be_flushed_is_not_closed(log: Log, car, monkeypatch):
    writer = log.writer(fsync=Fsync.EVERYSEC)
    writer.append([audit_record(car)])
    writer.flush()
    flush = os.fdatasync

    def refuse_records(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == FILE:
            failing(descriptor)
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", refuse_records)
    writer.close()
    add_record(log)
    assert (log.verify().faults, log.verify().uncovered) == ([], 1)


def test_records_are_deleted_from_a_file_that_its_process_closes_later(log: Log, car):
    writer = log.writer()
    for number in range(4):
        caller = "gone" if number % 2 else "local"
        writer.append([audit_record(car, number, caller=caller)])
    writer.flush()
    assert erase_caller(log.folder, "gone", day_of(AT + 86_400), log.checkpoints()) == 2
    log.now += 86_400
    writer.append([audit_record(car)])
    writer.close()
    assert (log.verify().records, log.verify().faults) == (3, [])
    log.put(log.lines()[:-1])
    assert len(log.verify().faults) == 1


@pytest.mark.parametrize("fsync", list(Fsync))
def test_a_checkpoint_is_on_the_disk_before_it_replaces_the_former(
    log: Log, car, monkeypatch, fsync: Fsync
):
    steps: list[str] = []
    flush, replace = os.fdatasync, Path.replace

    def is_checkpoint(path: Path) -> bool:
        # Logs of other tests may be flushed at the same time.
        return ".checkpoint." in path.name and path.is_relative_to(log.kept)

    def fdatasync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        if is_checkpoint(target):
            assert os.fstat(descriptor).st_size > 0
            steps.append(f"flush {target.name}")
        flush(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        if is_checkpoint(self):
            steps.append(f"replace {self.name}")
        return replace(self, target)

    monkeypatch.setattr("shared.audit.log.schedule_flush", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    writer = log.writer(fsync=fsync)
    writer.append([audit_record(car)])
    writer.flush()
    writer.close()
    names = [step.removeprefix("replace ") for step in steps if step.startswith("replace")]
    assert len(names) == 3  # when the file is opened, flushed and closed
    if fsync is Fsync.NO:
        assert len(steps) == 3
    else:
        assert steps == [f"{step} {name}" for name in names for step in ("flush", "replace")]


def test_an_empty_checkpoint_is_named_as_such(log: Log, car):
    log.write(car, 3)
    checkpoint_path(log.kept, FILE).write_bytes(b"")
    (fault,) = log.verify().faults
    assert fault.startswith(f"{FILE}: its checkpoint is empty")
