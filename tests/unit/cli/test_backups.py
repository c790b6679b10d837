"""What a backup copies while its sources change, and how restored data are prepared."""

import contextlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.backups.archive import BackupWriter, FolderTarget, extract, open_writer
from cli.backups.collect import Collector, _end_of_chain
from cli.backups.layout import BROKER, BackupError, Part
from cli.backups.prepare import prepare
from shared.blobs.local import LocalBlobStore
from shared.domain.ids import BatchId, CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.domain.valuation import CarRequest
from shared.fields.requests import load_car_request
from shared.redis import keys
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.redis.connections import connect
from shared.redis.job_store.store import JobStore
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.batch_parts import CALLER, BulkPath, cars_csv, rows_of
from tests.conftest import Servers, answers, running_server, short_folder, wait_until
from tests.job_archive import ArchiveBench
from worker.valuations.archive_sweep import ORPHAN_AGE_S


def request() -> CarRequest:
    return load_car_request({"company": "Dacia", "model": "Logan", "year": 2018})


class Unreadable(io.BytesIO):
    """A file on a broken disk."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(f"{size} bytes cannot be read")


class Interrupting(FolderTarget):
    """Writes into a folder, and calls a function before the file of a certain number."""

    def __init__(self, folder: Path, number: int, interrupt: Any) -> None:
        super().__init__(folder)
        self._left = number
        self._interrupt = interrupt

    def add(self, name: str, file: Any, size: int) -> str:
        self._left -= 1
        if self._left == 0:
            self._interrupt()
        return super().add(name, file, size)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("done", [0, 4])
@pytest.mark.parametrize("passes", [1, 2])
def test_a_batch_that_ends_while_it_is_copied_is_whole_in_the_copy(
    servers: Servers, tmp_path: Path, number: int, done: int, passes: int
) -> None:
    path = BulkPath(tmp_path / "service", servers.broker)
    batch_id = path.accept(cars_csv(45))
    for _ in range(done):
        path.step()
    copy = tmp_path / "copy"
    writer = BackupWriter(Interrupting(copy, number, path.drain))
    collector = Collector(writer, [Part("batches", tmp_path / "service" / "batches")])
    for _ in range(passes):
        collector._copy_blobs()
    writer.finish(0.0, {"parts": ["batches"]})
    path.drain()
    extract(copy, tmp_path / "restored")
    servers.broker.flushall()
    restored = BulkPath(tmp_path / "restored", servers.broker)
    restored.sweep.sweep()
    batch = restored.sweep_until_ended(batch_id)
    assert batch.progress.counts.valid == 45
    assert [row["ref"] for row in rows_of(restored, batch)] == [f"R{row}" for row in range(1, 46)]


def test_a_deleted_batch_is_left_out_and_an_upload_in_progress_too(
    servers: Servers, tmp_path: Path
) -> None:
    path = BulkPath(tmp_path, servers.broker)
    batch_id = path.run(cars_csv(5)).manifest.id
    with path.blobs.write(BatchId(new_id()), "source") as blob:
        blob.write(b"half of a file")
    writer = BackupWriter(FolderTarget(tmp_path / "copy"))
    collector = Collector(writer, [Part("batches", tmp_path / "batches")])
    collector._copy_blobs()
    path.batches.delete(batch_id, CALLER)
    collector._copy_blobs()
    info = writer.finish(0.0, {"parts": ["batches"]})
    assert list(info["files"]) == [f"batches/{batch_id}/tombstone.json"]


def test_jobs_that_leave_redis_during_a_backup_are_in_it(servers: Servers, tmp_path: Path) -> None:
    bench = ArchiveBench(servers.broker, tmp_path / "batches")
    first = bench.ended()
    bench.move()
    writer = BackupWriter(FolderTarget(tmp_path / "copy"))
    collector = Collector(writer, [Part("batches", tmp_path / "batches")])
    collector._copy_blobs()
    second = bench.ended()
    bench.move()
    collector._copy_blobs()
    writer.finish(0.0, {"parts": ["batches"]})
    extract(tmp_path / "copy", tmp_path / "restored")
    restored = ArchiveBench(servers.broker, tmp_path / "restored" / "batches")
    for job in (first, second):
        assert restored.jobs.get(job.id, job.caller).state is JobState.SUCCEEDED


def test_a_file_of_the_audit_log_is_copied_up_to_its_last_closed_line(tmp_path: Path) -> None:
    whole = b'{"id":"1","prev":"a","hash":"b"}\n'
    for rest in (b"", b'{"id":"2"}\n', b'{"id":"2"}\n{"id":"3","prev":"b","hash":"c', b'{"id'):
        log = tmp_path / "log"
        log.write_bytes(whole + rest)
        with log.open("rb") as file:
            assert _end_of_chain(file) == len(whole), rest
    (tmp_path / "log").write_bytes(b'{"id":"2"}\n')
    with (tmp_path / "log").open("rb") as file:
        assert _end_of_chain(file) == 0


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    for name in ("out.tar", "out"):
        with pytest.raises(OSError, match="read"), open_writer(tmp_path / name) as writer:
            writer.add("source", Unreadable(b"abc"), 3)
        assert list(tmp_path.iterdir()) == []


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        member = tarfile.TarInfo("../outside")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(BackupError, match="outside"):
        extract(tmp_path / "evil.tar", tmp_path / "target")
    assert not (tmp_path / "outside").exists()


def test_restored_jobs_with_records_are_marked_and_ledgers_are_removed() -> None:
    with short_folder() as home:
        settings = with_server_urls(Settings(home=home))
        clock = [1_790_000_000.0]
        recorded, single, fresh = (JobId(new_id()) for _ in range(3))
        with running_server(home, "broker"):
            client = connect(settings.redis_url)
            wait_until(lambda: answers(client), what="the broker")
            store = JobStore(client, lambda: clock[0], retention_s=10**9, lease_s=30)
            for job_id, is_list in ((recorded, True), (single, False), (fresh, False)):
                cars = (request(), request()) if is_list else (request(),)
                store.create(
                    Job(
                        id=job_id, caller=CallerId("shop"), state=JobState.QUEUED,
                        created_at=clock[0], requests=cars, is_list=is_list,
                    )
                )  # fmt: skip
            client.hset(keys.job(fresh), "requests_blob", "requests-missing")
            ledger = BatchLedger(client, lambda: clock[0], lease_s=30, window=4, max_attempts=3)
            batch_id = BatchId(new_id())
            ledger.create(batch_id, clock[0], CallerId("shop"))
        folder = home / "audit"
        folder.mkdir()
        lines = [f'{{"id":"{name}","x":1}}\n' for name in (f"{recorded}-1", single)]
        (folder / "predictions_2026-01-02.api-1.jsonl").write_text("".join(lines))
        work = prepare(home, has_payloads=True)
        assert work == (2, 1)
        with running_server(home, "broker"):
            client = connect(settings.redis_url)
            wait_until(lambda: answers(client), what="the broker")
            assert client.hget(keys.audit_claim(recorded), "done") == b"1"
            assert client.hget(keys.audit_claim(single), "done") == b"1"
            assert not client.hexists(keys.job(single), "origin")
            assert not client.exists(keys.job(fresh))
            assert not client.exists(keys.batch(batch_id), keys.OPEN_BATCHES)
            assert client.zcard(keys.OPEN_JOBS) == 2


@pytest.mark.timeout(300)
def test_ended_jobs_in_a_bucket_that_is_younger_than_the_backup_are_answered() -> None:
    """A sweep deletes segments that Redis does not know, unless Redis has lost its data."""
    with short_folder() as home, short_folder() as restored:
        blobs = LocalBlobStore(home / "bucket")
        with _archive(home, blobs) as bench:
            before = bench.ended()
            bench.move()
        shutil.copytree(home / "broker", restored / "broker")
        with _archive(home, blobs) as bench:
            after = bench.ended()
            bench.move()
        prepare(restored, has_payloads=False)
        with _archive(restored, blobs) as bench:
            bench.now += 2 * ORPHAN_AGE_S
            bench.archiver.sweep()
            for job in (before, after):
                assert bench.jobs.get(job.id, job.caller).state is JobState.SUCCEEDED
                assert bench.archive.summary(job.id, job.caller) is not None


@contextlib.contextmanager
def _archive(home: Path, blobs: LocalBlobStore) -> Iterator[ArchiveBench]:
    """Jobs that leave the broker of a home for a bucket."""
    with running_server(home, "broker"):
        client = connect(with_server_urls(Settings(home=home)).redis_url)
        wait_until(lambda: answers(client), what="the broker")
        yield ArchiveBench(client, home, blobs)


def test_every_damaged_or_missing_file_of_a_backup_is_named(tmp_path: Path) -> None:
    with open_writer(tmp_path / "copy") as writer:
        for name in ("a", "b", "c"):
            writer.add(f"audit/{name}", io.BytesIO(name.encode()), 1)
        writer.finish(0.0, {"parts": ["audit"]})
    (tmp_path / "copy/audit/a").write_text("?")
    (tmp_path / "copy/audit/c").unlink()
    with pytest.raises(BackupError) as raised:
        extract(tmp_path / "copy", tmp_path / "restored")
    path = tmp_path / "copy"
    lines = [f"{path}: audit/a is damaged", f"{path}: audit/c is missing"]
    assert str(raised.value).splitlines() == lines


def test_a_file_of_the_broker_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    collector = Collector(BackupWriter(FolderTarget(tmp_path / "copy")), [Part(BROKER, folder)])
    with pytest.raises(BackupError, match=r"appendonly\.aof\.1\.base\.rdb is missing"):
        collector._repeat(collector._copy_broker, "the broker's files")


def test_a_broker_file_that_cannot_be_loaded_is_refused_with_its_reason() -> None:
    with short_folder() as home:
        folder = home / "broker" / "appendonlydir"
        folder.mkdir(parents=True)
        (folder / "appendonly.aof.manifest").write_text("file a.aof seq 1 type b\n")
        (folder / "a.aof").write_bytes(b"*1\r\n$4\r\nJUNK\r\nnonsense\r\n*3\r\n")
        with pytest.raises(BackupError, match="cannot load"):
            prepare(home, has_payloads=True)


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"schema":"x","at":1,"parts":[],"files":{}}',
        b'{"schema":1,"at":1,"parts":["audit"],"files":{}}',
        b'{"schema":1,"at":1,"parts":["audit"],"files":{"a":{"size":1}}}',
        b'{"schema":1,"at":1,"parts":["audit"],"files":["a"]}',
        b'{"schema":99}',
    ],
)
def test_a_folder_with_another_list_of_files_is_no_backup(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "backup.json").write_bytes(content)
    with pytest.raises(BackupError, match=r"not that of a backup|newer version"):
        extract(source, tmp_path / "target")
