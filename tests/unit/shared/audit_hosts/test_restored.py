"""A log that is restored on a new machine, while the store has the copies of the old host."""

from pathlib import Path

import orjson
import pytest

from cli.backups.archive import BackupWriter, FolderTarget, extract
from cli.backups.collect import Collector
from cli.backups.layout import AUDIT, CHECKPOINT_KEY, CHECKPOINTS, Part
from shared.audit.erasure import erase_caller
from shared.audit.hosts import copied_sums
from shared.audit.hosts.identity import IDENTITY_FILE, host_id
from shared.audit.hosts.manifests import HOSTS_DOCUMENT
from shared.audit.hosts.verification import verify_copies
from shared.audit.verification import verify_log
from shared.domain.clock import DAY_S
from tests.audit_hosts import Host
from tests.unit.shared.audit_hosts.test_queries import query, rows  # noqa: F401 - a fixture
from tests.unit.shared.audit_hosts.test_two_hosts import exchange


def back_up(host: Host, folder: Path) -> Path:
    """Back up the audit log of a host that runs."""
    parts = [
        Part(AUDIT, host.folder),
        Part(CHECKPOINTS, host.settings.checkpoints_folder),
        Part(CHECKPOINT_KEY, host.settings.checkpoint_key_file),
    ]
    writer = BackupWriter(FolderTarget(folder / "backup"))
    Collector(writer, parts)._copy_audit([])
    writer.finish(0.0, {"parts": [part.name for part in parts]})
    return folder / "backup"


def restored(backup: Path, folder: Path, other: Host) -> Host:
    """A host on a new machine that has the log of the backup."""
    extract(backup, folder)
    return Host(folder, other.objects, other.broker, "new")


def faults(host: Host) -> list[str]:
    """What verification finds in the log of a host and in the copies of others."""
    settings = host.settings
    own = verify_log(host.folder, settings.checkpoints_folder, settings.checkpoint_key_file)
    return [*map(str, own.faults), *verify_copies(host.objects, host.folder).faults]


@pytest.fixture(autouse=True)
def quiet_files(monkeypatch):
    """Count files as quiet at once."""
    monkeypatch.setattr(copied_sums, "QUIET_S", -1.0)


def test_a_restored_log_goes_on_as_another_host_and_loses_nothing_of_the_old_one(
    hosts, car, tmp_path
):
    old, third = hosts
    old.answer(car, price=100.0)
    old.answer(car, price=200.0, caller="other")
    exchange(*hosts)
    backup = back_up(old, tmp_path)
    after = old.answer(car, price=600.0)  # after the backup, in the same file
    old.copy()
    assert not (backup / AUDIT / IDENTITY_FILE).exists()
    new = restored(backup, tmp_path / "new", old)
    new.answer(car, price=300.0)
    exchange(new, third)
    exchange(new, third)
    listed = orjson.loads(old.objects.read(HOSTS_DOCUMENT).content)
    assert len(listed) == 3, "the copies of the old host stay"
    assert host_id(new.folder) != host_id(old.folder)
    for host in (new, third):
        found = host.figures()
        assert (found["total_predictions"], found["average_price"]) == (4, 300.0)
        assert host.figures(caller="other")["total_predictions"] == 1
        record = host.search.find(after)
        assert record is not None
        assert record["price_mad"] == 600.0
        assert faults(host) == []


def test_an_old_host_that_was_not_dead_does_not_disturb_the_new_one(hosts, car, tmp_path):
    old, third = hosts
    old.answer(car)
    exchange(*hosts)
    new = restored(back_up(old, tmp_path), tmp_path / "new", old)
    for host in (old, new):
        host.answer(car)
    exchange(old, new, third)
    exchange(old, new, third)
    assert [host.figures()["total_predictions"] for host in (old, new, third)] == [3, 3, 3]
    assert [faults(host) for host in (old, new, third)] == [[], [], []]


def test_what_was_deleted_from_a_restored_log_is_not_counted_again(hosts, car, tmp_path):
    old, _ = hosts
    old.shift_s = -2 * DAY_S
    old.restart()
    for caller in ("kept", "gone"):
        old.answer(car, caller=caller)
    old.log.close()
    exchange(old)
    new = restored(back_up(old, tmp_path), tmp_path / "new", old)
    new.copy()
    assert erase_caller(new.folder, "gone", "9999-01-01", new.checkpoints) == 1
    exchange(new)
    exchange(new)
    new.shift_s = -2 * DAY_S
    assert new.figures(caller="gone")["total_predictions"] == 0
    assert new.figures()["total_predictions"] == 1


def test_records_after_the_backup_are_found_once(hosts, car, tmp_path, query):  # noqa: F811
    first, old = hosts  # the command runs on the first: it is the one that is restored
    old.answer(car, price=100.0)
    old.copy()
    backup = back_up(old, tmp_path)
    old.answer(car, price=600.0)
    old.copy()
    aside = first.settings.home.rename(tmp_path / "aside")
    new = restored(backup, first.settings.home, old)
    assert aside.exists()
    exchange(new)
    found = rows(query())
    assert sorted(row["price_mad"] for row in found) == [100.0, 600.0]
    assert len({row["file"] for row in found}) == 2


def test_a_deletion_on_the_old_host_after_the_restore_is_no_damage(
    hosts,
    car,
    tmp_path,
    query,  # noqa: F811
):
    first, old = hosts
    old.answer(car, price=100.0, caller="gone")
    old.answer(car, price=200.0)
    old.copy()
    backup = back_up(old, tmp_path)
    for price in (300.0, 400.0, 500.0):
        old.answer(car, price=price)
    old.log.close()
    assert erase_caller(old.folder, "gone", "9999-01-01", old.checkpoints) == 1
    old.copy()
    first.settings.home.rename(tmp_path / "aside")
    new = restored(backup, first.settings.home, old)
    exchange(new)
    found = rows(query())
    assert {row["price_mad"] for row in found} == {100.0, 200.0}
