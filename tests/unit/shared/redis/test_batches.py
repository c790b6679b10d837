"""The ledger of batches on a real broker: every step runs once, every counter is exact."""

import threading
from collections import Counter

import pytest

from api.batches.storage import CallerBatches
from api.jobs.listing import SubmissionIndex
from shared.domain.batch import BatchOutcome, BatchProgress, RowCounts
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import BatchId, CallerId, new_id
from shared.domain.job import JobKind, JobState
from shared.redis import keys as redis_keys
from shared.redis.batch_ledger.ledger import BatchLedger, StepDecision
from shared.redis.connections import connect
from tests.conftest import Servers

BATCH = BatchId(new_id())
CALLER = CallerId("shop")
ROWS = RowCounts(valid=8, invalid=1, failed=1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(servers: Servers, clock: Clock) -> BatchLedger:
    return BatchLedger(servers.broker, clock, lease_s=30, window=3, max_attempts=2)


def opened(store: BatchLedger, chunks: int = 5) -> None:
    """A batch whose file is cut."""
    store.create(BATCH, 1.0, CALLER)
    store.begin(BATCH, "split")
    store.record_split(BATCH, chunks, chunks * 10)


def finish(store: BatchLedger, chunk: int, *, abort: bool = False) -> bool:
    store.begin(BATCH, str(chunk))
    return store.finish_chunk(BATCH, chunk, ROWS, abort=abort)


def test_what_the_batches_of_a_caller_take_up_is_known_until_they_are_deleted(
    servers: Servers, store: BatchLedger
) -> None:
    usage, other = CallerBatches(servers.broker), BatchId(new_id(1_000_000.0))
    for batch_id, size in ((BATCH, 100), (other, 30)):
        store.index_by_caller(batch_id, CALLER, 3600)
        assert not store.has_bytes(batch_id, CALLER)
        store.record_bytes(batch_id, CALLER, size)
    store.record_bytes(other, CALLER, 50)
    assert store.has_bytes(other, CALLER)
    assert usage.stored_bytes(CALLER) == 150
    assert usage.stored_bytes(CallerId("garage")) == 0
    assert 0 < servers.broker.ttl(redis_keys.batch_bytes_of(CALLER)) <= 3600
    store.delete_ended(other, CALLER)
    store.record_bytes(other, CALLER, 50)
    assert usage.stored_bytes(CALLER) == 100, "an export that ends later counts no more"
    store.forget_bytes(BATCH, CALLER)
    assert usage.stored_bytes(CALLER) == 0


def test_chunks_are_sent_in_a_sliding_window(store: BatchLedger) -> None:
    opened(store)
    assert store.advance(BATCH) == ([0, 1, 2], False)
    assert store.advance(BATCH) == ([], False)
    assert finish(store, 1)
    assert store.advance(BATCH) == ([3], False)


def test_more_processes_than_the_window_have_one_chunk_each_and_the_next_one(
    store: BatchLedger,
) -> None:
    opened(store, 30)
    assert len(store.advance(BATCH, 9).chunks) == 10
    assert store.advance(BATCH, 9).chunks == []
    assert finish(store, 3)
    assert store.advance(BATCH, 9).chunks == [10]
    assert len(store.advance(BATCH, 19).chunks) == 10


def test_the_assembly_is_due_once_when_all_chunks_are_done(store: BatchLedger) -> None:
    opened(store, chunks=3)
    store.advance(BATCH)
    for chunk in range(3):
        assert finish(store, chunk)
    assert store.advance(BATCH) == ([], True)
    assert store.advance(BATCH) == ([], False)


def test_no_assembly_while_the_file_is_being_split(store: BatchLedger) -> None:
    store.create(BATCH, 1.0, CALLER)
    store.begin(BATCH, "split")
    store.record_split(BATCH, 1, None)
    assert store.advance(BATCH) == ([0], False)
    finish(store, 0)
    assert store.advance(BATCH) == ([], False)
    store.record_split(BATCH, 1, 10)
    assert store.advance(BATCH) == ([], True)


def test_a_chunk_that_is_done_twice_counts_once(store: BatchLedger) -> None:
    opened(store)
    assert finish(store, 0)
    assert store.begin(BATCH, "0").decision is StepDecision.DONE
    assert not store.finish_chunk(BATCH, 0, ROWS, abort=False)
    progress = store.progress(BATCH)
    assert progress is not None
    assert progress.counts == ROWS


def test_many_workers_at_once_leave_exact_counters(store: BatchLedger) -> None:
    chunks = 60
    opened(store, chunks)
    new: Counter[bool] = Counter()

    def work() -> None:
        for chunk in range(chunks):
            new[store.finish_chunk(BATCH, chunk, ROWS, abort=False)] += 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress = store.progress(BATCH)
    assert progress is not None
    assert progress.counts == RowCounts(valid=8 * chunks, invalid=chunks, failed=chunks)
    assert new == {True: chunks, False: 5 * chunks}


def test_a_step_is_due_after_its_lease_which_doubles_with_each_resend(
    store: BatchLedger, clock: Clock
) -> None:
    opened(store)
    store.advance(BATCH)
    assert store.claim_overdue(BATCH) == []
    clock.now += 31
    assert sorted(store.claim_overdue(BATCH)) == ["0", "1", "2"]
    assert store.claim_overdue(BATCH) == []
    clock.now += 31
    assert sorted(store.claim_overdue(BATCH)) == ["0", "1", "2"]
    clock.now += 31
    assert store.claim_overdue(BATCH) == []
    store.begin(BATCH, "1")  # it arrived: from now on it has a lease of the usual length
    clock.now += 31
    assert "1" in store.claim_overdue(BATCH)


def test_the_index_of_a_caller_is_bounded(
    store: BatchLedger, clock: Clock, servers: Servers
) -> None:
    caller, keep_s = CallerId("me"), 3600
    lists = SubmissionIndex(servers.broker)
    made = []
    for _ in range(20):
        clock.now += 600
        made.append(BatchId(new_id(clock.now)))
        store.index_by_caller(made[-1], caller, keep_s)
    kept = lists.ids(JobKind.BATCH, caller, after="0", before="~", limit=100)
    assert kept == made[:12:-1]


def test_a_clock_that_is_set_back_an_hour_loses_no_step(store: BatchLedger, clock: Clock) -> None:
    opened(store)
    store.advance(BATCH)
    clock.now -= 3600
    assert sorted(store.claim_overdue(BATCH)) == ["0", "1", "2"]


def test_attempts_are_counted_and_run_out(store: BatchLedger) -> None:
    opened(store)
    store.advance(BATCH)
    decisions = [store.begin(BATCH, "0").decision for _ in range(3)]
    assert decisions == [StepDecision.RUN, StepDecision.RUN, StepDecision.EXHAUSTED]


def test_a_postponed_attempt_is_not_counted(store: BatchLedger, clock: Clock) -> None:
    opened(store)
    store.advance(BATCH)
    for _ in range(5):
        assert store.begin(BATCH, "0").decision is StepDecision.RUN
        store.postpone(BATCH, "0", 5.0, count_attempt=False)
        clock.now += 6
        assert "0" in store.claim_overdue(BATCH)


def test_a_split_slice_resets_the_attempts_of_the_next(store: BatchLedger) -> None:
    store.create(BATCH, 1.0, CALLER)
    for chunks in range(1, 6):
        assert store.begin(BATCH, "split").decision is StepDecision.RUN
        store.record_split(BATCH, chunks, None)


def test_a_cancelled_batch_sends_no_more_chunks_and_ends_after_the_running_ones(
    store: BatchLedger,
) -> None:
    opened(store)
    store.advance(BATCH)
    store.begin(BATCH, "0")
    assert store.request_cancel(BATCH)
    assert store.begin(BATCH, "1").decision is StepDecision.STOPPED
    assert store.begin(BATCH, "2").decision is StepDecision.STOPPED
    assert store.advance(BATCH) == ([], False)
    assert store.finish_chunk(BATCH, 0, ROWS, abort=False)
    assert store.advance(BATCH) == ([], True)


def test_lost_steps_of_a_cancelled_batch_are_dropped(store: BatchLedger, clock: Clock) -> None:
    opened(store)
    store.advance(BATCH)
    store.request_cancel(BATCH)
    clock.now += 31
    assert store.claim_overdue(BATCH) == []
    assert store.advance(BATCH) == ([], True)


def test_a_cancelled_batch_values_the_gaps_before_valued_chunks(store: BatchLedger) -> None:
    opened(store)
    store.advance(BATCH)
    store.begin(BATCH, "1")
    store.request_cancel(BATCH)
    assert store.begin(BATCH, "0").decision is StepDecision.RUN, "chunk 1 is being valued"
    assert store.begin(BATCH, "2").decision is StepDecision.STOPPED
    assert finish(store, 1)
    assert store.advance(BATCH) == ([], False)
    assert finish(store, 0)
    assert store.advance(BATCH) == ([], True)


def test_a_restored_batch_that_is_cancelled_values_its_gaps(store: BatchLedger) -> None:
    done = {0: ROWS, 2: ROWS}
    assert store.restore(BATCH, 1.0, CALLER, chunks_cut=9, total=90, done=done)
    store.request_cancel(BATCH)
    assert store.advance(BATCH) == ([1], False)
    assert store.begin(BATCH, "1").decision is StepDecision.RUN
    assert finish(store, 1)
    assert store.advance(BATCH) == ([], True)


def test_an_aborted_batch_values_no_gaps(store: BatchLedger, clock: Clock) -> None:
    opened(store)
    store.advance(BATCH)
    assert finish(store, 2)
    store.abort(BATCH, "attempts-exhausted")
    clock.now += 31
    assert store.claim_overdue(BATCH) == []
    assert store.advance(BATCH) == ([], True)


def test_the_first_rejected_row_stops_a_batch_that_asked_for_it(store: BatchLedger) -> None:
    opened(store)
    store.advance(BATCH)
    assert finish(store, 0, abort=True)
    for chunk in ("1", "2"):
        assert store.begin(BATCH, chunk).decision is StepDecision.STOPPED
    assert store.advance(BATCH) == ([], True)
    progress = store.progress(BATCH)
    assert progress is not None
    assert progress.error == "row-rejected"


def test_an_ended_batch_ends_once_and_accepts_no_results(
    store: BatchLedger, servers: Servers
) -> None:
    opened(store)
    final = BatchProgress(
        state=JobState.SUCCEEDED, outcome=BatchOutcome.COMPLETE, finished_at=9.0, total=50
    )
    assert store.finish(BATCH, final)
    assert not store.finish(BATCH, final)
    assert not store.request_cancel(BATCH)
    assert not store.finish_chunk(BATCH, 4, ROWS, abort=False)
    assert store.begin(BATCH, "4").decision is StepDecision.STOPPED
    assert store.open_batches() == []
    keys = [key.decode() for key in servers.broker.scan_iter("*")]
    assert keys == [redis_keys.batch(BATCH)]
    assert servers.broker.ttl(redis_keys.batch(BATCH)) > 0


def test_a_ledger_is_restored_from_the_blobs_and_continues(
    store: BatchLedger,
) -> None:
    done = {0: ROWS, 2: ROWS}
    assert store.restore(BATCH, 1.0, CALLER, chunks_cut=5, total=50, done=done)
    assert not store.restore(BATCH, 1.0, CALLER, chunks_cut=5, total=50, done=done)
    assert store.advance(BATCH) == ([1, 3, 4], False)
    progress = store.progress(BATCH)
    assert progress is not None
    assert progress.counts == RowCounts(valid=16, invalid=2, failed=2)
    assert progress.state is JobState.RUNNING
    assert store.open_batches() == [BATCH]


def test_a_restored_ledger_of_an_unsplit_file_splits_it(store: BatchLedger, clock: Clock) -> None:
    assert store.restore(BATCH, 1.0, CALLER, chunks_cut=0, total=None, done={})
    clock.now += 1
    assert store.claim_overdue(BATCH) == ["split"]


def test_the_blobs_are_listed_once_an_interval_and_after_data_loss(
    store: BatchLedger, servers: Servers
) -> None:
    assert store.claim_scan(600)
    assert not store.claim_scan(600)
    servers.broker.flushall()
    assert store.claim_scan(600)


def test_an_unknown_batch_is_unknown(store: BatchLedger) -> None:
    assert store.progress(BATCH) is None
    assert store.begin(BATCH, "0").decision is StepDecision.UNKNOWN
    assert store.advance(BATCH) == ([], False)
    assert store.claim_overdue(BATCH) == []
    assert not store.request_cancel(BATCH)


def test_a_broker_that_does_not_run_is_reported(clock: Clock) -> None:
    away = BatchLedger(
        connect("redis://127.0.0.1:1/0"), clock, lease_s=30, window=3, max_attempts=2
    )
    for call in (away.ping, away.open_batches, lambda: away.advance(BATCH)):
        with pytest.raises(BrokerUnavailable):
            call()


def test_steps_of_a_dead_worker_are_due_at_once(store: BatchLedger, clock: Clock) -> None:
    opened(store)
    store.advance(BATCH)
    store.begin(BATCH, "0")
    clock.now += 1
    assert store.claim_overdue(BATCH) == []
    assert store.expire_leases({(BATCH, "1")}) == 2, "the message of one step is on the queue"
    assert sorted(store.claim_overdue(BATCH)) == ["0", "2"]
    assert store.claim_overdue(BATCH) == [], "leased anew"
    assert store.begin(BATCH, "0").attempt == 2, "an attempt stays one"
