"""A batch whose blobs lie in a bucket: the same files as in a folder, with few requests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.blobs.batch_files import LINES
from shared.blobs.s3 import S3BlobStore
from shared.blobs.s3_writer import PART_BYTES
from shared.domain.batch import BatchOutcome, RowCounts
from shared.domain.ids import new_id
from shared.domain.job import JobState
from tests.batch_parts import BulkPath, cars_csv
from tests.conftest import Servers
from tests.object_store import BUCKET, ObjectStore, running_object_store

ROWS = 9_000
CHUNK_ROWS = 500


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture
def in_bucket(servers: Servers, tmp_path: Path, object_store: ObjectStore) -> BulkPath:
    blobs = S3BlobStore(f"s3://{BUCKET}/{new_id()}", object_store.endpoint_url)
    return BulkPath(tmp_path / "bucket", servers.broker, chunk_rows=CHUNK_ROWS, blobs=blobs)


def long_rows() -> bytes:
    """Rows with a long text: their results are sent in several parts, some rows are rejected."""
    header, *rows = cars_csv(ROWS).decode().splitlines()
    lines = [f"{header},text", *(f"{row},{'x' * 1200}" for row in rows)]
    for number in range(100, ROWS, 700):
        lines[number] = lines[number].replace("Toyota", "").replace(",20", ",18")
    return "\n".join(lines).encode()


def test_the_files_in_a_bucket_are_those_of_a_folder(
    in_bucket: BulkPath, servers: Servers, tmp_path: Path
) -> None:
    data = long_rows()
    in_folder = BulkPath(tmp_path / "folder", servers.broker, chunk_rows=CHUNK_ROWS)
    expected, found = in_folder.run(data), in_bucket.run(data)
    assert found.progress.state is JobState.SUCCEEDED
    assert found.progress.counts == expected.progress.counts != RowCounts(valid=ROWS)
    assert found.progress.counts.done == ROWS
    for name in ("results.csv", "errors.ndjson", "rejected.csv", LINES):
        stored = in_bucket.blobs.load(found.manifest.id, name)
        assert stored == in_folder.blobs.load(expected.manifest.id, name), name
    assert (in_bucket.blobs.size(found.manifest.id, "results.csv") or 0) > PART_BYTES
    assert len(in_bucket.audit_lines()) == found.progress.counts.valid


def test_what_a_process_has_written_is_not_read_back(
    in_bucket: BulkPath, object_store: ObjectStore
) -> None:
    batch_id = in_bucket.accept(cars_csv(8 * CHUNK_ROWS))
    object_store.traffic.requests.clear()
    in_bucket.drain()
    assert in_bucket.get(batch_id).progress.counts == RowCounts(valid=8 * CHUNK_ROWS)
    traffic = object_store.traffic
    assert len(traffic.matching("PUT", "/audit/")) == 8
    assert not traffic.matching("GET", "/audit/")
    assert not traffic.matching("HEAD", "/audit/")
    # Once before a chunk is valued, in case it is done, and once as it is assembled.
    assert len(traffic.matching("GET", "/parts/")) == 16


def test_a_segment_that_a_killed_worker_did_not_publish_is_read_from_the_bucket(
    in_bucket: BulkPath, object_store: ObjectStore
) -> None:
    batch_id = in_bucket.accept(cars_csv(4 * CHUNK_ROWS))
    while len(in_bucket.queue) != 1 or in_bucket.get(batch_id).progress.counts.done == 0:
        in_bucket.step()
    lost = min(in_bucket.audit_folder.glob("*.jsonl"))
    content = lost.read_bytes()
    lost.unlink()
    object_store.traffic.requests.clear()
    in_bucket.drain()
    assert lost.read_bytes() == content
    assert len(object_store.traffic.matching("GET", "/audit/")) == 1


def test_a_store_that_is_away_for_a_minute_costs_no_row_and_no_attempt(
    servers: Servers, tmp_path: Path
) -> None:
    with running_object_store() as store:
        blobs = S3BlobStore(f"s3://{BUCKET}/batches", store.endpoint_url)
        path = BulkPath(tmp_path, servers.broker, blobs=blobs, max_attempts=1)
        batch_id = path.accept(cars_csv(75))
        for _ in range(6):
            path.step()
        done = path.store.progress(batch_id)
        assert done is not None
        assert 0 < done.counts.done < 75
        with store.away():
            for _ in range(3):
                path.drain()
                path.clock.now += 20
                assert path.sweep.sweep() > 0, "steps are sent again"
            assert path.store.progress(batch_id) == done
        batch = path.sweep_until_ended(batch_id)
    assert batch.progress.outcome is BatchOutcome.COMPLETE
    assert batch.progress.counts == RowCounts(valid=75)
    assert len(path.audit_lines()) == 75
    assert path.dead_letters.count() == 0
