"""Batches that were cancelled or have failed run on from what is done."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.batches.retries import BatchRetries
from api.batches.rows.reading import BatchRows, RowQuery
from shared.domain.batch import Batch, BatchOutcome, ResultTable, RowCounts
from shared.domain.errors import NothingToRetry
from shared.domain.files.exports import STORED
from shared.domain.job import JobState
from tests.batch_parts import CALLER, BulkPath
from tests.conftest import Servers

HEADER = "ref,company,model,year,km_driven"
STOCK = "\n".join([HEADER, *(f"R{at},Dacia,Logan,2018,{at}000" for at in range(1, 61))]).encode()


@pytest.fixture
def path(servers: Servers, tmp_path: Path) -> Iterator[BulkPath]:
    bulk = BulkPath(tmp_path, servers.broker, chunk_rows=5)
    yield bulk
    bulk.changes.close()


def retry(path: BulkPath, batch: Batch) -> Batch:
    return BatchRetries(batches=path.batches).retry(batch.manifest.id, CALLER)


def results(path: BulkPath, batch: Batch) -> str:
    file = path.results.file(batch, ResultTable.RESULTS, STORED)
    return b"".join(file.blocks(0, file.size)).decode()


def cancelled(path: BulkPath, steps: int) -> Batch:
    batch_id = path.accept(STOCK)
    for _ in range(steps):
        path.step()
    path.batches.cancel(batch_id, CALLER)
    return path.sweep_until_ended(batch_id)


@pytest.mark.parametrize("steps", [0, 3])
def test_a_cancelled_batch_runs_on_to_the_same_results(path: BulkPath, steps: int) -> None:
    batch = cancelled(path, steps)
    assert batch.progress.state is JobState.CANCELLED
    before = batch.progress.counts.done
    if before:
        first = BatchRows(results=path.results).page(batch, RowQuery())
        assert first.total == before
    assert (before > 0) == (steps > 0)
    assert before < 60
    again = retry(path, batch)
    assert not again.progress.state.is_terminal
    assert again.progress.counts.done == before
    repeated = retry(path, batch)
    assert repeated.progress.counts.done == before
    ended = path.sweep_until_ended(batch.manifest.id)
    assert ended.progress.outcome is BatchOutcome.COMPLETE
    assert ended.progress.counts == RowCounts(valid=60)
    assert results(path, ended) == results(path, path.run(STOCK))
    assert BatchRows(results=path.results).page(ended, RowQuery()).total == 60
    assert retry(path, ended).progress == ended.progress


def test_a_batch_whose_file_is_not_kept_cannot_be_retried(path: BulkPath) -> None:
    batch = cancelled(path, 3)
    path.files.delete_intermediates(batch.manifest.id)
    with pytest.raises(NothingToRetry):
        retry(path, batch)
    aborted = path.run(STOCK.replace(b"2018", b"1066", 1), on_error="abort")
    assert aborted.progress.outcome is BatchOutcome.ABORTED
    with pytest.raises(NothingToRetry):
        retry(path, aborted)
