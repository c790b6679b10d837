"""`carprice audit export`: bundles are whole, verified anywhere, and never made of a faulty log."""

import json
import tarfile

import pytest
from click.testing import CliRunner

from cli.audit.commands import audit
from shared.audit.bundles.archive import LOCK_FILE, archive_before
from shared.audit.chain import file_name
from shared.audit.file_state import CheckpointError
from shared.audit.retention import AuditRetention
from shared.domain.clock import DAY_S
from tests.audit_queries import DAY, Log, query
from tests.audit_segments import AT, audit_record
from tests.conftest import wait_until

NEXT_DAY = "2026-09-22"


@pytest.fixture
def log(tmp_path, car):
    """Answers and a batch of a day, and answers of the next one."""
    log = Log(tmp_path / "home")
    log.write(car, 4, "one")
    log.write_batch("b", 6)
    log.write(car, 2, "two", days=1)
    return log


def run(log, *arguments):
    return CliRunner().invoke(
        audit, arguments, env={"CARPRICE_HOME": str(log.home)}, catch_exceptions=False
    )


def export(log, target, *arguments):
    return run(log, "export", "--out", str(target), *arguments)


@pytest.mark.parametrize("name", ["bundle", "bundle.tar", "bundle.tar.gz", "bundle.tar.zst"])
def test_a_bundle_is_verified_with_the_key_alone(log, tmp_path, name):
    target = tmp_path / "out" / name
    done = export(log, target, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"path": str(target), "files": 3, "records": 12}
    assert list(target.parent.iterdir()) == [target]
    assert target.stat().st_mode & 0o077 == 0
    key = tmp_path / "key"
    log.place.key_file.rename(key)
    done = run(log, "verify", str(target), "--key-file", str(key), "--json")
    assert (done.exit_code, json.loads(done.stdout)["records"]) == (0, 12)
    done = run(log, "verify", str(target))
    assert done.exit_code == 3
    assert "12 records in 3 files are whole" in done.stdout
    assert "without --key-file only the chains" in done.stderr


def test_a_bundle_has_the_days_that_were_asked_for(log, tmp_path):
    assert "10 records in 2 files" in export(log, tmp_path / "first", "--to", DAY).stdout
    done = export(log, tmp_path / "last", "--from", NEXT_DAY, "--to", NEXT_DAY)
    assert "2 records in 1 files" in done.stdout
    key = str(log.place.key_file)
    for name in ("first", "last"):
        assert run(log, "verify", str(tmp_path / name), "--key-file", key).exit_code == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes().replace(b"100000", b"900000")), "line 1"),
        (lambda path: path.write_bytes(path.read_bytes()[:-400]), "the end is missing"),
        (lambda path: path.unlink(), "the file was removed"),
        (
            lambda path: path.with_name(file_name(DAY, "x")).write_bytes(path.read_bytes()),
            "x.jsonl",
        ),
    ],
    ids=["edited", "cut", "removed", "added"],
)
def test_a_changed_bundle_is_found(log, tmp_path, change, says, monkeypatch):
    monkeypatch.setattr("shared.audit.verification.OPENING_S", -1.0)
    export(log, tmp_path / "bundle")
    change(tmp_path / "bundle" / "audit" / file_name(DAY, "one"))
    done = run(log, "verify", str(tmp_path / "bundle"), "--key-file", str(log.place.key_file))
    assert done.exit_code == 1
    assert says in done.stderr


def test_a_bundle_is_searched_like_a_log(log, tmp_path):
    export(log, tmp_path / "bundle")
    done = query(log, "--folder", str(tmp_path / "bundle" / "audit"), "--id", "b-3", "--json")
    assert json.loads(done.stdout)["price_mad"] == 3000.0
    assert done.exit_code == 3
    assert "the key of the checkpoints is missing" in done.stderr
    key = str(log.place.key_file)
    folder = str(tmp_path / "bundle" / "audit")
    done = query(log, "--folder", folder, "--key-file", key, "--group-by", "kind", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [json.loads(line)["records"] for line in done.stdout.splitlines()] == [6, 6]


def test_the_file_of_a_running_process_is_exported_as_far_as_it_is_written(log, tmp_path, car):
    writer = log.writer("live")
    writer.append([audit_record(car, number) for number in range(3)])
    writer.flush()
    assert "15 records in 4 files" in export(log, tmp_path / "bundle").stdout
    writer.append([audit_record(car, 4)])
    key = str(log.place.key_file)
    assert run(log, "verify", str(tmp_path / "bundle"), "--key-file", key).exit_code == 0
    writer.close()


def test_a_log_with_a_fault_is_not_exported(log, tmp_path):
    log.change(file_name(DAY, "one"), lambda lines: lines[1:])
    done = export(log, tmp_path / "out" / "bundle.tar")
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{file_name(DAY, 'one')}: " in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
    assert export(log, tmp_path / "whole", "--from", NEXT_DAY).exit_code == 0


def test_what_cannot_be_exported_or_verified_is_refused(log, tmp_path):
    (tmp_path / "there").mkdir()
    done = export(log, tmp_path / "there")
    assert (done.exit_code, "it exists already" in done.stderr) == (1, True)
    done = run(log, "verify", str(tmp_path / "there"))
    assert (done.exit_code, "this is no bundle" in done.stderr) == (1, True)
    (tmp_path / "text.tar").write_text("no archive")
    assert run(log, "verify", str(tmp_path / "text.tar")).exit_code == 1
    log.place.key_file.unlink()
    done = export(log, tmp_path / "bundle")
    assert (done.exit_code, "the key of the checkpoints is missing" in done.stderr) == (1, True)


@pytest.mark.parametrize("name", ["bundle.tar", "bundle.tar.gz", "bundle.tar.zst"])
def test_a_damaged_archive_is_refused(log, tmp_path, name):
    target = tmp_path / name
    export(log, target)
    content = target.read_bytes()
    for damaged in (content[: len(content) // 2], b"x" * 100 + content, b""):
        target.write_bytes(damaged)
        done = run(log, "verify", str(target), "--key-file", str(log.place.key_file))
        assert done.exit_code == 1
        assert done.stderr


def archived(log, day):
    """Move the days before `day` to an archive."""
    archive = log.home / "archive"
    archive_before(log.place, day, archive, log.checkpoints())
    return sorted(path.name for path in archive.iterdir() if path.name != LOCK_FILE)


def test_old_days_leave_the_log_as_bundles_that_are_verified(log):
    key = str(log.place.key_file)
    query(log, "--group-by", "day")
    assert archived(log, NEXT_DAY) == [f"audit-{DAY}.tar.zst"]
    bundle = log.home / "archive" / f"audit-{DAY}.tar.zst"
    done = run(log, "verify", str(bundle), "--key-file", key)
    assert (done.exit_code, "10 records in 2 files" in done.stdout) == (0, True)
    done = run(log, "verify")
    assert (done.exit_code, "2 records in 1 files are whole" in done.stdout) == (0, True)
    assert archived(log, NEXT_DAY) == [f"audit-{DAY}.tar.zst"]
    assert {path.name[:10] for path in log.columns} == {NEXT_DAY}


def test_a_day_with_a_fault_and_those_after_it_stay_in_the_log(log):
    log.change(file_name(NEXT_DAY, "two"), lambda lines: lines[1:])
    with pytest.raises(CheckpointError, match="two"):
        archived(log, "2026-09-25")
    assert [path.name for path in log.folder.glob("*.jsonl")] == [file_name(NEXT_DAY, "two")]
    assert (log.home / "archive" / f"audit-{DAY}.tar.zst").exists()
    assert not (log.home / "archive" / f"audit-{NEXT_DAY}.tar.zst").exists()


def test_the_retention_starts_a_process_that_archives(log, monkeypatch):
    archive = log.home / "archive"
    monkeypatch.setenv("CARPRICE_HOME", str(log.home))
    monkeypatch.setenv("AUDIT_ARCHIVE", str(archive))
    now = AT + 10 * DAY_S
    retention = AuditRetention(log.folder, log.checkpoints(), lambda: now, days=9, is_archived=True)
    assert retention.sweep() == 0
    wait_until(lambda: not list(log.folder.glob(f"*{DAY}*")), timeout_s=30)
    wait_until((archive / f"audit-{DAY}.tar.zst").exists)
    assert len(list(log.folder.glob("*.jsonl"))) == 1


def test_an_archive_with_links_is_refused(log, tmp_path):
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        link = tarfile.TarInfo("audit")
        link.type, link.linkname = tarfile.SYMTYPE, "audit-checkpoints"
        archive.addfile(link)
    done = run(log, "verify", str(evil))
    assert (done.exit_code, "audit: no file" in done.stderr) == (1, True)


def test_an_archive_that_leaves_its_folder_is_refused(log, tmp_path):
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        archive.add(log.place.key_file, "../outside")
    done = run(log, "verify", str(evil))
    assert done.exit_code == 1
    assert not (tmp_path.parent / "outside").exists()
