"""Days leave the log for the archive whole, whatever happens between the steps."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.audit.commands import audit
from shared.audit.bundles import archive as archive_module
from shared.audit.bundles.archive import archive_before
from shared.audit.bundles.bundle import export, opened
from shared.audit.chain import file_name
from shared.audit.checkpoints import Checkpoints
from shared.audit.erasure import erase_caller
from shared.audit.file_state import CheckpointError
from shared.audit.inventory import Inventory
from shared.audit.retention import remove_before
from shared.audit.verification import verify_log
from tests.audit_queries import DAY, Log, found

NEXT_DAY = "2026-09-22"


class Killed(BaseException):
    """The process was killed."""


@pytest.fixture
def log(tmp_path, car):
    """Answers and two chunks of a batch of a day that is over, and answers of the next one."""
    log = Log(tmp_path / "home")
    log.write(car, 4, "one", caller="garage")
    log.write_batch("b", 6)
    log.write_batch("c", 5)
    log.write(car, 2, "two", days=1)
    return log


def archive(log):
    """Move the days before the next one; return the records of all bundles."""
    folder = log.home / "archive"
    archive_before(log.place, NEXT_DAY, folder, log.checkpoints())
    return [records_of(log, path) for path in sorted(folder.glob("*.tar.zst"))]


def records_of(log, bundle):
    with opened(bundle) as place:
        report = verify_log(place.folder, place.checkpoints, log.place.key_file)
    assert report.faults == []
    return report.records


def names(log):
    return {path.name for path in log.folder.glob("*.jsonl")}


def test_a_removal_that_was_interrupted_goes_on(log, monkeypatch):
    unlink = Path.unlink

    def unlink_or_die(path, *, missing_ok=False):
        if "batch-c" in path.name:
            raise Killed
        unlink(path, missing_ok=missing_ok)

    def in_order(folder, mark, glob=Path.glob):
        return sorted(glob(folder, mark))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", unlink_or_die)
        patched.setattr(Path, "glob", in_order)
        with pytest.raises(Killed):
            archive(log)
    assert file_name(DAY, "batch-c-0") in names(log)
    assert file_name(DAY, "batch-b-0") not in names(log)
    assert archive(log) == [9, 15]
    assert names(log) == {file_name(NEXT_DAY, "two")}
    assert (
        CliRunner().invoke(audit, ["verify"], env={"CARPRICE_HOME": str(log.home)}).exit_code == 0
    )


def test_a_file_that_comes_while_its_day_is_archived_stays(log, monkeypatch):
    def slow(*arguments):
        done = export(*arguments)
        if not late:
            late.append(log.write_batch("late", 3))
        return done

    late: list[str] = []
    monkeypatch.setattr(archive_module, "export", slow)
    assert archive(log) == [15]
    assert names(log) == {late[0], file_name(NEXT_DAY, "two")}
    assert archive(log) == [3, 15]
    assert names(log) == {file_name(NEXT_DAY, "two")}


def test_a_day_whose_files_all_are_missing_is_a_fault(log):
    for name in names(log):
        if DAY in name:
            (log.folder / name).unlink()
    with pytest.raises(CheckpointError, match="the file was removed"):
        archive_before(log.place, "2026-09-25", log.home / "archive", log.checkpoints())
    assert names(log) == {file_name(NEXT_DAY, "two")}


def test_a_log_that_cannot_be_shortened_does_not_fill_the_archive(log, monkeypatch):
    def refuse(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Inventory, "append", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match="No space"):
                archive(log)
    assert [path for path in (log.home / "archive").iterdir() if path.name != ".lock"] == []
    assert archive(log) == [15]


def test_what_a_killed_process_left_in_the_archive_is_deleted(log, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_args, **_options: None)
        patched.setattr("shared.audit.bundles.bundle._pack", die)
        with pytest.raises(Killed):
            archive(log)
    assert [path for path in (log.home / "archive").iterdir() if path.is_dir()]
    assert archive(log) == [15]
    assert not [path for path in (log.home / "archive").iterdir() if path.is_dir()]


def die(*_arguments, **_options):
    raise Killed


@pytest.mark.parametrize(
    "delete",
    [
        lambda folder, checkpoints: erase_caller(folder, "garage", NEXT_DAY, checkpoints),
        lambda folder, checkpoints: remove_before(folder, NEXT_DAY, checkpoints),
    ],
    ids=["caller", "days"],
)
def test_columns_are_gone_before_the_records(log, monkeypatch, delete):
    """A process that is killed in between must not leave them: nothing would look for them."""
    found(log, "--group-by", "day")
    assert len(log.columns) == 6

    monkeypatch.setattr("shared.audit.erasure.forget_sums", die)
    monkeypatch.setattr(Checkpoints, "forget", die)
    with pytest.raises(Killed):
        delete(log.folder, log.checkpoints())
    assert {path.name[:10] for path in log.columns} == {NEXT_DAY}
