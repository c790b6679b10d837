"""Requests that wait on the event loop: what wakes them, what ends their waits, their number."""

import asyncio
import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from api.events import changes, kept_ends, subscriptions, waits
from api.events.changes import StateChanges
from api.events.departures import ClientLeftError
from api.events.streams import StateSnapshot, follow
from api.events.waits import Client, Waits
from api.jobs.idempotency import RedisIdempotency
from api.jobs.listing import SubmissionIndex
from api.jobs.reading import JobReader
from api.jobs.service import Jobs, Submission
from api.loops.event_loops import EventLoops
from shared.domain.errors import (
    IdempotencyConflict,
    JobDeleted,
    JobNotFound,
    NotAuthenticated,
    QueueFull,
    TooManyWaits,
)
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobEnd, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.redis import keys
from shared.redis.job_store.positions import QueuePositions
from shared.redis.job_store.segments import SegmentCatalogue
from shared.redis.job_store.store import JobStore
from tests.batch_parts import ActiveV1
from tests.conftest import REFERENCE_CAR, Servers, wait_until

ME, OTHER = CallerId("me"), CallerId("other")
ESTIMATE = Estimate(
    price_mad=150_000.0, quantiles_mad=(1.0,) * 9, model_version="v1", model_known=True
)
LONG_S = 20.0
PROMPT_S = 5.0
"""Much less than the waits of these tests."""


class World:
    """The service of jobs on a real broker, without workers."""

    def __init__(self, servers: Servers, maximum: int = 100) -> None:
        self.broker = servers.broker
        self.changes = StateChanges(servers.broker)
        self.waits = Waits(self.changes, maximum)
        self.store = JobStore(servers.broker, time.time, retention_s=100, lease_s=30)
        self.reads = 0
        positions = QueuePositions(servers.broker, time.time)
        lists = SubmissionIndex(servers.broker)
        reader = JobReader(
            self.store,
            lists,
            positions,
            self.changes.ended,
            catalogue=SegmentCatalogue(servers.broker),
        )
        read_all = reader.read_all

        def read(queries: Any) -> Any:
            self.reads += len(queries)
            return read_all(queries)

        cast("Any", reader).read_all = read
        unused: Any = None
        self.jobs = Jobs(
            active_model=cast("Any", ActiveV1()),
            store=self.store,
            submitter=cast("Any", self),
            send_job=lambda _: None,
            reader=reader,
            positions=positions,
            waits=self.waits,
            threads=unused,
            loops=EventLoops(),
            idempotency=RedisIdempotency(servers.broker),
            clock=time.time,
            queue_guard=cast("Any", self),
        )
        self.commits: list[int] = []
        self.is_full = False

    def check_job(self, *_: Any) -> None:
        """Take every job unless the queue is full."""
        if self.is_full:
            raise QueueFull(waiting=1)

    def check_memory(self) -> None:
        """Take every key."""

    def submit(self, jobs: Any, entries: Any, then: Any) -> Any:
        """Store jobs; no worker is told."""
        self.commits.append(len(jobs))
        return self.store.create_all(jobs, then, entries)

    def subscribe(self) -> None:
        """Start the subscription, and wait until messages come."""
        self.changes.start()
        wait_until(lambda: self.changes.is_live, what="subscribed")

    def new_job(self, caller: CallerId = ME, cars: int = 1) -> Job:
        """A stored open job that the API has not kept."""
        job = Job(
            id=JobId(new_id()),
            caller=caller,
            state=JobState.QUEUED,
            created_at=time.time(),
            requests=(load_car_request(REFERENCE_CAR),) * cars,
            is_list=cars > 1,
        )
        assert self.store.create(job)
        return job

    def succeed(self, *jobs: Job) -> None:
        """End jobs as a worker does."""
        self.store.start_all([job.id for job in jobs])
        ends = [JobEnd(j.id, JobState.SUCCEEDED, (ESTIMATE,) * len(j.requests)) for j in jobs]
        assert self.store.finish_all(ends) == [True] * len(jobs)


@pytest.fixture
def world(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(subscriptions, "POLL_S", 0.1)  # the subscription ends as fast
    made = World(servers)
    yield made
    made.changes.close()


SUBMISSION = Submission(
    requests=(load_car_request(REFERENCE_CAR),), is_list=False, body=b"", idempotency_key=None
)


async def in_thread(call: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)


async def started(task: "asyncio.Task[Any]") -> None:
    """Let a task begin to wait."""
    await asyncio.sleep(0.1)
    assert not task.done()


def test_submissions_of_one_tick_share_a_commit(world: World) -> None:
    async def submit() -> list[Any]:
        return await asyncio.gather(*(world.jobs.submit_soon(SUBMISSION, ME) for _ in range(20)))

    accepted = asyncio.run(submit())
    assert world.commits == [20]
    assert [each.position.position for each in accepted] == list(range(20))
    assert len({each.job.id for each in accepted}) == 20
    assert all(world.store.get(each.job.id, ME).state is JobState.QUEUED for each in accepted)


def with_key(key: str, body: bytes = b"same") -> Submission:
    return dataclasses.replace(SUBMISSION, idempotency_key=key, body=body)


def test_submissions_with_keys_share_the_commit_and_repetitions_find_the_job(world: World) -> None:
    async def submit(*submissions: Submission) -> list[Any]:
        calls = (world.jobs.submit_soon(each, ME) for each in submissions)
        return await asyncio.gather(*calls, return_exceptions=True)

    first, other, again = asyncio.run(submit(with_key("a"), with_key("b"), with_key("a")))
    assert world.commits == [3]
    assert first.job.id == again.job.id != other.job.id
    assert again.position.position == first.position.position
    repeated, conflict, new = asyncio.run(
        submit(with_key("a"), with_key("b", b"other"), with_key("c"))
    )
    assert repeated.job.id == first.job.id
    assert isinstance(conflict, IdempotencyConflict)
    assert new.job.id not in {first.job.id, other.job.id}
    assert world.broker.zcard(keys.OPEN_JOBS) == 3
    world.is_full = True
    repeated, refused = asyncio.run(submit(with_key("a"), with_key("d")))
    assert repeated.job.id == first.job.id, "a repetition is never refused"
    assert isinstance(refused, QueueFull)
    world.is_full = False
    (accepted,) = asyncio.run(submit(with_key("d")))
    assert accepted.job.state is JobState.QUEUED


def test_the_message_of_the_end_brings_the_result_so_that_nothing_is_read(world: World) -> None:
    world.subscribe()

    async def run() -> Any:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        task = asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client()))
        await started(task)
        await in_thread(world.succeed, job)
        return await asyncio.wait_for(task, PROMPT_S)

    view = asyncio.run(run())
    assert world.reads == 0
    assert view.job == world.store.get(view.id, ME), "the same that a read would answer"


def test_a_cancellation_that_was_requested_is_part_of_the_end(world: World) -> None:
    """Else the answer to a waiting request would differ from that to the next one."""
    world.subscribe()

    async def run(*, is_running: bool) -> Any:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        task = asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client()))
        await started(task)
        if is_running:
            await in_thread(world.store.start, job.id)
        await in_thread(world.store.request_cancel, job.id, ME)
        if is_running:
            await in_thread(world.succeed, job)
        return await asyncio.wait_for(task, PROMPT_S)

    for is_running in (False, True):
        view = asyncio.run(run(is_running=is_running))
        assert view.job.cancel_requested
        assert view.job == world.store.get(view.id, ME)


def test_jobs_of_other_processes_and_large_ones_are_read_when_they_end(world: World) -> None:
    world.subscribe()

    async def run(job: Job) -> Any:
        task = asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client()))
        await started(task)
        await in_thread(world.succeed, job)
        return await asyncio.wait_for(task, PROMPT_S)

    for cars in (1, 5, 60):
        job = world.new_job(cars=cars)
        assert asyncio.run(run(job)).job == world.store.get(job.id, ME)


def test_a_kept_job_of_another_caller_does_not_exist(world: World) -> None:
    world.subscribe()

    async def run() -> None:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        with pytest.raises(JobNotFound):
            await asyncio.wait_for(world.jobs.wait(job.id, OTHER, LONG_S, Client()), PROMPT_S)

    asyncio.run(run())


def test_a_deleted_job_is_not_answered_from_memory(world: World) -> None:
    world.subscribe()

    async def run() -> None:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        await in_thread(world.succeed, job)
        await in_thread(world.store.delete, job.id, ME)
        await asyncio.sleep(0.1)
        with pytest.raises(JobDeleted):
            await asyncio.wait_for(world.jobs.wait(job.id, ME, LONG_S, Client()), PROMPT_S)

    asyncio.run(run())


def test_a_deleted_job_is_not_answered_by_the_late_message_of_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.subscribe()
    may_come = threading.Event()
    receive = world.changes._ends_of_jobs

    def receive_late(data: bytes) -> Any:
        may_come.wait(LONG_S)
        return receive(data)

    monkeypatch.setattr(world.changes, "_ends_of_jobs", receive_late)

    async def run() -> None:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        await in_thread(world.succeed, job)
        assert await in_thread(world.jobs.cancel_or_delete, job.id, ME) is None
        task = asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client()))
        await asyncio.sleep(0.1)
        may_come.set()
        with pytest.raises(JobDeleted):
            await asyncio.wait_for(task, PROMPT_S)

    asyncio.run(run())


def test_a_poll_that_comes_after_the_end_reads_the_state_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.subscribe()
    loaded: list[JobId] = []
    load_all = world.store.load_all

    def load(ids: Any) -> Any:
        loaded.extend(ids)
        return load_all(ids)

    monkeypatch.setattr(world.store, "load_all", load)

    async def run() -> None:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        await in_thread(world.succeed, job)
        await in_thread(wait_until, lambda: world.changes.ended(job.id) is not None)
        for wait_s in (0.0, LONG_S):
            view = await asyncio.wait_for(world.jobs.wait(job.id, ME, wait_s, Client()), PROMPT_S)
            assert loaded == []
            assert view.job == load_all([job.id])[0], "the same that a whole read would answer"
        with pytest.raises(JobNotFound):
            await world.jobs.read(job.id, OTHER)
        await in_thread(world.broker.hset, keys.job(job.id), "finished_at", "1.5")
        assert (await world.jobs.read(job.id, ME)).job.finished_at == 1.5, "it ended once more"
        await in_thread(world.broker.hset, keys.job(job.id), "state", "QUEUED")
        assert (await world.jobs.read(job.id, ME)).state is JobState.QUEUED, "it is open again"
        assert loaded == [job.id, job.id]

    asyncio.run(run())


def test_few_ended_jobs_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_ends, "MAX_KEPT_ENDED", 2)
    world.subscribe()
    jobs = [world.new_job() for _ in range(3)]
    for job in jobs:
        world.changes.watch(job)
    world.succeed(*jobs)
    wait_until(lambda: world.changes.ended(jobs[2].id) is not None)
    assert [world.changes.ended(job.id) is None for job in jobs] == [True, False, False]


def test_a_job_whose_end_came_before_it_was_kept_is_not_kept(world: World) -> None:
    """A read that began before the end would otherwise be waited for until the time is over."""
    world.subscribe()
    job = world.new_job()
    world.succeed(job)
    wait_until(lambda: job.id in world.changes._ended)
    world.changes.watch(job)
    assert world.changes.watched(job.id) is None


def test_an_interrupted_subscription_wakes_all_when_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "RETRY_S", 0.2)
    monkeypatch.setattr(waits, "POLL_S", LONG_S)
    world.subscribe()

    async def run() -> Any:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        task = asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client()))
        await started(task)
        await in_thread(world.broker.client_kill_filter, None, "pubsub")
        await in_thread(wait_until, lambda: not world.changes.is_live)
        assert world.changes.watched(job.id) is None
        await in_thread(world.succeed, job)  # nobody hears of it
        return await asyncio.wait_for(task, PROMPT_S)

    assert asyncio.run(run()).is_terminal


def test_an_unreadable_message_does_not_end_the_subscription(world: World) -> None:
    world.subscribe()

    async def run() -> Any:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        task = asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client()))
        await started(task)
        for channel in (keys.ENDED_CHANNEL, keys.ENDED_JOBS_CHANNEL, keys.PROGRESS_CHANNEL):
            await in_thread(world.broker.publish, channel, b"\xff\xfe")
        await in_thread(world.succeed, job)
        return await asyncio.wait_for(task, PROMPT_S)

    assert asyncio.run(run()).is_terminal


def test_the_id_alone_ends_the_wait_as_well(world: World) -> None:
    """Workers of the last release publish no more, and so do those that end its jobs."""
    world.subscribe()

    async def run() -> Any:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        await in_thread(world.broker.hdel, keys.job(job.id), "ends")
        task = asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client()))
        await started(task)
        await in_thread(world.succeed, job)
        return await asyncio.wait_for(task, PROMPT_S)

    assert asyncio.run(run()).is_terminal


def test_thousands_that_wait_for_one_job_are_woken_while_others_go_on(world: World) -> None:
    world.waits = Waits(world.changes, 20_000)
    world.jobs._waits = world.waits
    world.subscribe()

    async def run() -> Any:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        polls = [
            asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client())) for _ in range(5000)
        ]
        await asyncio.sleep(0.5)
        ticks = 0

        async def count_ticks() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_ticks())
        await in_thread(world.succeed, job)
        await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        before = ticks
        views = await asyncio.wait_for(asyncio.gather(*polls), 4 * PROMPT_S)
        counting.cancel()
        return views, ticks - before

    views, iterations = asyncio.run(run())
    assert {id(view.job) for view in views} == {id(views[0].job)}, "one ended job"
    assert world.reads == 0
    assert iterations >= 5000 / changes.WAKE_SLICE / 2


def test_the_number_of_waits_is_bounded_and_shared(world: World) -> None:
    world.waits = Waits(world.changes, 18)
    world.jobs._waits = world.waits
    job = world.new_job()

    async def run() -> None:
        def poll(caller: str) -> "asyncio.Task[Any]":
            return asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client(caller)))

        greedy = [poll("greedy") for _ in range(30)]
        refused: list[asyncio.Task[Any]] = []
        for refusal in asyncio.as_completed(greedy, timeout=PROMPT_S):
            with pytest.raises(TooManyWaits):
                await refusal
            refused = [each for each in greedy if each.done()]
            if len(refused) >= len(greedy) - 17:  # one place is left
                break
        assert all(isinstance(each.exception(), TooManyWaits) for each in refused)
        other = poll("other")
        await started(other)
        assert (await world.jobs.wait(job.id, ME, 0.0, Client())).state is JobState.QUEUED
        for each in [*greedy, other]:
            each.cancel()
        await asyncio.gather(*greedy, other, return_exceptions=True)
        again = poll("greedy")
        await started(again)
        again.cancel()

    asyncio.run(run())


async def leave_after(delay_s: float) -> dict[str, Any]:
    await asyncio.sleep(delay_s)
    return {"type": "http.disconnect"}


def test_a_client_that_leaves_ends_its_wait_and_frees_its_place(world: World) -> None:
    world.waits = Waits(world.changes, 2)
    world.jobs._waits = world.waits
    job = world.new_job()

    async def run() -> None:
        for _ in range(5):
            client = Client(receive=lambda: leave_after(0.3))
            began = time.monotonic()
            with pytest.raises(ClientLeftError):
                await world.jobs.wait(job.id, ME, LONG_S, client)
            assert time.monotonic() - began < PROMPT_S
        assert len(asyncio.all_tasks()) == 1, "no watcher is left"

    asyncio.run(run())
    assert not world.changes._loops.all()[0]._listeners


def test_a_revoked_key_ends_its_waits_and_no_others(world: World) -> None:
    job = world.new_job()
    is_revoked = False

    def check() -> None:
        if is_revoked:
            raise NotAuthenticated

    async def run() -> None:
        nonlocal is_revoked
        clients = [Client("a", key="a", check_key=check), Client("b", key="b")]
        mine, other = (
            asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, each)) for each in clients
        )
        await started(mine)
        is_revoked = True
        with pytest.raises(NotAuthenticated):
            await asyncio.wait_for(mine, PROMPT_S)
        await started(other)
        other.cancel()

    asyncio.run(run())


def test_the_end_of_the_process_answers_with_the_present_state(world: World) -> None:
    world.subscribe()

    async def run() -> None:
        job, _ = await world.jobs.submit_soon(SUBMISSION, ME)
        polls = [
            asyncio.create_task(world.jobs.wait(job.id, ME, LONG_S, Client())) for _ in range(3)
        ]
        await started(polls[0])
        world.waits.drain()
        views = await asyncio.wait_for(asyncio.gather(*polls), PROMPT_S)
        assert [(v.state, v.position.position) for v in views] == [(JobState.QUEUED, 0)] * 3
        late = await asyncio.wait_for(world.jobs.wait(job.id, ME, LONG_S, Client()), PROMPT_S)
        assert late.state is JobState.QUEUED

    asyncio.run(run())


def test_a_stream_tells_each_state_once_and_ends_when_its_client_leaves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.events.streams.HEARTBEAT_S", 0.5)
    world.subscribe()
    job = world.new_job()

    async def read() -> StateSnapshot[str]:
        view = await world.jobs.read(job.id, ME)
        return StateSnapshot(view.state, view.state, view.is_terminal)

    async def run() -> list[Any]:
        told = []
        stream = follow(world.waits, job.id, read, None, Client())
        async with contextlib.aclosing(stream):
            async for snapshot in stream:
                told.append(snapshot and snapshot.state)
                if told == [None, "QUEUED", None]:  # a heartbeat: nothing has happened
                    await in_thread(world.store.start, job.id)
                if told[-1] == "RUNNING":
                    await in_thread(world.succeed, job)
        return told

    told = asyncio.run(asyncio.wait_for(run(), LONG_S))
    assert [each for each in told if each] == ["QUEUED", "RUNNING", "SUCCEEDED"]

    async def left() -> None:
        other = world.new_job()
        client = Client(receive=lambda: leave_after(0.3))
        with pytest.raises(ClientLeftError):
            async for _ in follow(world.waits, other.id, read_open, None, client):
                pass

    async def read_open() -> StateSnapshot[str]:
        return StateSnapshot("QUEUED", "QUEUED", is_last=False)

    asyncio.run(asyncio.wait_for(left(), PROMPT_S))


def test_waits_for_more_jobs_than_are_kept_are_all_woken(servers, monkeypatch):
    """Those whose jobs were dropped read them; none waits for its time, or for a check."""
    monkeypatch.setattr(changes, "MAX_WATCHED", 3)
    monkeypatch.setattr(waits, "RECHECK_S", LONG_S)
    world = World(servers)
    world.subscribe()
    jobs = [world.new_job() for _ in range(12)]

    def places() -> int:
        return sum(len(each._waits) for each in world.waits._by_loop.all())

    async def wait_for_all() -> list[JobState]:
        waiting = [
            asyncio.ensure_future(world.jobs.wait(job.id, ME, LONG_S, Client())) for job in jobs
        ]
        await asyncio.to_thread(wait_until, lambda: places() == len(jobs), what="all wait")
        assert len(world.changes._watched) == 3
        reads = world.reads
        await asyncio.to_thread(world.succeed, *jobs)
        found = await asyncio.wait_for(asyncio.gather(*waiting), LONG_S / 2)
        assert world.reads - reads == len(jobs) - 3, "of the kept ones nothing is read"
        return [view.state for view in found]

    assert asyncio.run(wait_for_all()) == [JobState.SUCCEEDED] * len(jobs)
