"""Jobs that are stored, queued and ended together on a real broker; what each caller is told."""

import json
import time
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from shared.domain.errors import (
    AcceptanceUnknown,
    BrokerFull,
    BrokerUnavailable,
    DomainError,
    JobStorageFull,
)
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobEnd, JobState
from shared.domain.valuation import CarRequest, Estimate
from shared.fields.requests import load_car_request
from shared.queue.names import QueueName
from shared.queue.work import JobSubmitter, make_work_sender
from shared.redis import keys
from shared.redis.connections import connect
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.job_store import creation, endings, memory
from shared.redis.job_store.creation import Created, KeyEntry, KeyTaken
from shared.redis.job_store.endings import read_ends
from shared.redis.job_store.memory import BrokerMemory, JobUsageCounts
from shared.redis.job_store.store import JobStore
from shared.redis.pipelines import PipelinedCommands
from shared.redis.workers import WorkerRegistry
from tests.conftest import Servers

ME, OTHER = CallerId("me"), CallerId("other")
LEASE_S = 30
STORED, EXISTS = Created.STORED, Created.EXISTS


class Bench:
    """A store and a queue with a worker of which only the heartbeat exists."""

    def __init__(self, servers: Servers) -> None:
        self.broker = servers.broker
        WorkerRegistry(self.broker).heartbeat("i@host:1", ["interactive"])
        FairQueues(self.broker, time.time).announce("i@host", ["interactive"], 2)
        self.work = make_work_sender(self.broker, time.time)
        self.store = self.new_store()
        self.submitter = JobSubmitter(self.store, self.work)

    def new_store(self, limits: BrokerMemory | None = None) -> JobStore:
        return JobStore(self.broker, time.time, retention_s=100, lease_s=LEASE_S, memory=limits)

    def messages(self) -> list[list[str]]:
        """The ids in each message of the queue, in order; takes them."""
        found = []
        while (packed := self.broker.rpop("interactive")) is not None:
            message = json.loads(packed)
            found.append(json.loads(message["body"])[1]["job_ids"])
            with self.work.taken(message["headers"]["id"]):
                pass
        return found

    def open_usage(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self.broker.hgetall(keys.OPEN_USAGE)
        return {name: count for name, count in found.items() if count != b"0"}


@pytest.fixture
def bench(servers: Servers) -> Bench:
    return Bench(servers)


@pytest.fixture
def request_(car: dict[str, Any]) -> CarRequest:
    return load_car_request(car)


def jobs(request: CarRequest, count: int, caller: CallerId = ME, cars: int = 1) -> list[Job]:
    return [
        Job(
            id=JobId(new_id()),
            caller=caller,
            state=JobState.QUEUED,
            created_at=time.time(),
            requests=(request,) * cars,
            is_list=cars > 1,
        )
        for _ in range(count)
    ]


def ids(of: list[Job]) -> list[JobId]:
    return [job.id for job in of]


def estimate(price_mad: float = 1.0) -> Estimate:
    return Estimate(
        price_mad=price_mad, quantiles_mad=(1.0,) * 9, model_version="v1", model_known=True
    )


def test_submissions_of_callers_are_stored_and_share_messages(
    bench: Bench, request_: CarRequest
) -> None:
    mine, others = jobs(request_, 3), jobs(request_, 2, OTHER)
    mixed = [mine[0], others[0], mine[1], others[1], mine[2]]
    assert bench.submitter.submit(mixed) == [STORED] * 5
    assert bench.messages() == [ids(mine), ids(others)]
    assert bench.store.load_all(ids(mixed)) == mixed
    assert bench.broker.zcard(keys.OPEN_JOBS) == 5
    assert bench.broker.zcard(keys.jobs_by_caller(OTHER)) == 2
    assert bench.broker.get(keys.job_tombstone(others[0].id)) == OTHER.encode()


def test_any_number_of_jobs_is_stored_in_blocks(
    bench: Bench, request_: CarRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = jobs(request_, creation.CREATE_BLOCK + 1)
    assert set(bench.submitter.submit(given)) == {STORED}
    assert bench.broker.zcard(keys.OPEN_JOBS) == len(given)
    calls = []
    real = PipelinedCommands.outcomes

    def fails_later(pipeline: PipelinedCommands) -> Any:
        calls.append(pipeline)
        if len(calls) > 1:
            raise redis.ConnectionError
        return real(pipeline)

    monkeypatch.setattr(PipelinedCommands, "outcomes", fails_later)
    *first, last = bench.submitter.submit(jobs(request_, creation.CREATE_BLOCK + 1))
    assert set(first) == {STORED}
    assert isinstance(last, AcceptanceUnknown)


def test_each_job_has_an_outcome_of_its_own(
    bench: Bench, request_: CarRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *rest = jobs(request_, 4)
    theirs = jobs(request_, 1, OTHER)
    assert bench.submitter.submit([first]) == [STORED]
    # Memory is scarce, and this caller may hold that of three jobs.
    limits = BrokerMemory(bench.broker)
    size = int(bench.broker.hget(keys.OPEN_USAGE, f"m:{ME}"))
    monkeypatch.setattr(memory.BrokerMemory, "caller_limit", property(lambda _: 3 * size))
    submitter = JobSubmitter(bench.new_store(limits), bench.work)
    outcomes = submitter.submit([first, *rest, *theirs])
    assert outcomes[:3] == [EXISTS, STORED, STORED]
    assert isinstance(outcomes[3], JobStorageFull)
    assert outcomes[4] is STORED
    assert bench.store.load(rest[2].id) is None
    assert bench.broker.hget(keys.OPEN_USAGE, f"n:{ME}") == b"3"


def test_a_job_that_memory_refuses_does_not_refuse_the_others(
    bench: Bench, request_: CarRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[int] = []

    def check(_: BrokerMemory, cost_bytes: int) -> None:
        costs.append(cost_bytes)
        if len(costs) == 2:
            raise BrokerFull

    monkeypatch.setattr(BrokerMemory, "check", check)
    submitter = JobSubmitter(bench.new_store(BrokerMemory(bench.broker)), bench.work)
    given = jobs(request_, 3)
    stored, refused, last = submitter.submit(given)
    assert (stored, last) == (STORED, STORED)
    assert isinstance(refused, BrokerFull)
    assert bench.messages() == [[given[0].id, given[2].id]]


def test_a_full_broker_stores_none_of_them(bench: Bench, request_: CarRequest) -> None:
    given = jobs(request_, 3)
    bench.store.create_all(jobs(request_, 1))  # the script is known
    bench.broker.config_set("maxmemory", 1)
    try:
        outcomes = bench.submitter.submit(given)
    finally:
        bench.broker.config_set("maxmemory", 0)
    assert [type(each) for each in outcomes] == [BrokerFull] * 3
    assert bench.store.load_all(ids(given)) == [None] * 3


def test_a_job_that_is_stored_is_accepted_although_its_message_is_refused(
    bench: Bench, request_: CarRequest
) -> None:
    given = [*jobs(request_, 2), *jobs(request_, 1, cars=101)]
    bench.broker.set(f"{keys.fair_queue('interactive')}flight", "no sorted set")
    with capture_logs() as logs:
        assert bench.submitter.submit(given) == [STORED] * 3
    told = [(each["event"], each["log_level"], each["count"]) for each in logs]
    assert told == [("jobs_not_queued", "warning", 2)], "the long one is on another queue"
    assert bench.store.load_all(ids(given)) == given
    later = JobStore(bench.broker, lambda: time.time() + LEASE_S, retention_s=100, lease_s=LEASE_S)
    assert {*later.overdue(10)} == {*ids(given)}, "the sweep sends them"


def test_a_broker_that_forgot_the_scripts_is_told_them_again(
    bench: Bench, request_: CarRequest
) -> None:
    bench.submitter.submit(jobs(request_, 1))
    bench.messages()
    bench.broker.script_flush()
    given = jobs(request_, 2)
    assert bench.submitter.submit(given) == [STORED] * 2
    assert ids(given) in bench.messages()
    bench.broker.script_flush()
    bench.store.start_all(ids(given))
    bench.broker.script_flush()
    ends = [JobEnd(each, JobState.SUCCEEDED, (estimate(),)) for each in ids(given)]
    assert bench.store.finish_all(ends) == [True, True]


def test_a_broker_that_breaks_off_leaves_unknown_whether_a_job_is_stored(
    bench: Bench, request_: CarRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(pipeline: PipelinedCommands) -> Any:
        real(pipeline)
        raise redis.ConnectionError("Connection closed by server.")

    real = PipelinedCommands.outcomes
    given = jobs(request_, 2)
    bench.work.calls_of(given)  # the protocol of the workers is known
    monkeypatch.setattr(PipelinedCommands, "outcomes", break_off)
    with pytest.raises(AcceptanceUnknown):
        bench.store.create_all(given)
    monkeypatch.undo()
    assert bench.store.load_all(ids(given)) == given


def test_without_a_broker_no_job_is_stored(request_: CarRequest) -> None:
    away = connect("unix:///nowhere.sock")
    store = JobStore(away, time.time, retention_s=100, lease_s=30)
    with pytest.raises(BrokerUnavailable) as raised:
        store.create_all(jobs(request_, 2))
    assert type(raised.value) is BrokerUnavailable
    with pytest.raises(BrokerUnavailable):
        JobSubmitter(store, make_work_sender(away, time.time)).submit(jobs(request_, 2))


def test_an_idempotency_key_is_claimed_with_its_job(bench: Bench, request_: CarRequest) -> None:
    first, second, third = jobs(request_, 3)
    entry = KeyEntry(keys.idempotency(ME, "jobs:a"), json.dumps(["digest", first.id]), 60)
    again = KeyEntry(entry.name, json.dumps(["digest", second.id]), 60)
    assert bench.submitter.submit([first, third], {first.id: entry}) == [STORED, STORED]
    assert bench.broker.ttl(entry.name) in {59, 60}
    assert bench.submitter.submit([second], {second.id: again}) == [
        KeyTaken(entry.content.encode())
    ]
    assert bench.store.load(second.id) is None


def test_requests_with_one_key_at_once_make_one_job(bench: Bench, request_: CarRequest) -> None:
    first, second = jobs(request_, 2)
    name = keys.idempotency(ME, "jobs:a")
    entries = {job.id: KeyEntry(name, job.id, 60) for job in (first, second)}
    assert bench.submitter.submit([first, second], entries) == [
        STORED,
        KeyTaken(first.id.encode()),
    ]


def test_usage_is_that_of_the_jobs_after_groups_of_all_kinds(
    bench: Bench, request_: CarRequest
) -> None:
    given = [*jobs(request_, 4), *jobs(request_, 3, OTHER, cars=5)]
    bench.submitter.submit(given)
    bench.store.start_all(ids(given[:2]))
    ends = [
        JobEnd(given[0].id, JobState.SUCCEEDED, (estimate(),)),
        JobEnd(given[1].id, JobState.FAILED, error="valuation-failed"),
        JobEnd(given[4].id, JobState.SUCCEEDED, (estimate(),) * 5),
    ]
    assert bench.store.finish_all(ends) == [True] * 3
    bench.store.request_cancel(given[2].id, ME)
    counted = bench.open_usage()
    JobUsageCounts(bench.broker, time.time).recount()
    assert counted == bench.open_usage()
    assert bench.broker.zrange(keys.OPEN_JOBS, 0, -1) == [
        job_id.encode() for job_id in sorted([given[3].id, given[5].id, given[6].id])
    ]
    kept = JobUsageCounts(bench.broker, time.time).usage(ME)
    assert kept.open_jobs == 1
    for job in given[:3]:
        assert bench.store.delete(job.id, ME)
    assert 0 < JobUsageCounts(bench.broker, time.time).usage(ME).memory_bytes < kept.memory_bytes


class Ends:
    """What is published about ended jobs."""

    def __init__(self, bench: Bench) -> None:
        self.subscription = bench.broker.pubsub(ignore_subscribe_messages=True)
        self.subscription.subscribe(keys.ENDED_CHANNEL, keys.ENDED_JOBS_CHANNEL)
        for _ in range(2):
            self.subscription.get_message(timeout=5)

    def take(self) -> list[tuple[str, bytes]]:
        found = []
        while (message := self.subscription.get_message(timeout=0.1)) is not None:
            found.append((message["channel"].decode(), message["data"]))
        return found


def test_an_end_says_what_the_store_says(bench: Bench, request_: CarRequest) -> None:
    ended = Ends(bench)
    given = jobs(request_, 3)
    bench.submitter.submit(given)
    bench.store.start_all(ids(given[:2]))
    bench.store.finish_all([
        JobEnd(given[0].id, JobState.SUCCEEDED, (estimate(7.5),)),
        JobEnd(given[1].id, JobState.FAILED, error="valuation-failed"),
    ])  # fmt: skip
    bench.store.request_cancel(given[2].id, ME)
    (channel, group), (_, cancelled) = ended.take()
    assert channel == keys.ENDED_JOBS_CHANNEL
    ends = [*read_ends(group), *read_ends(cancelled)]
    for job, end in zip(given, ends, strict=True):
        stored = bench.store.load(job.id)
        assert stored is not None
        assert end.applied_to(job) == stored


def test_large_results_are_not_published_and_large_groups_are_divided(
    bench: Bench, request_: CarRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "PUBLISHED_MAX_BYTES", 300)
    monkeypatch.setattr(endings, "MESSAGE_BYTES", 400)
    ended = Ends(bench)
    given = [*jobs(request_, 8), *jobs(request_, 1, cars=10)]
    bench.submitter.submit(given)
    bench.store.finish_all(
        [JobEnd(job.id, JobState.SUCCEEDED, (estimate(),) * len(job.requests)) for job in given]
    )
    messages = ended.take()
    assert 2 <= len(messages) <= 5
    ends = [end for _, data in messages for end in read_ends(data)]
    assert [end.id for end in ends] == ids(given)
    assert ends[-1].result is None
    with pytest.raises(DomainError):
        ends[-1].applied_to(given[-1])


def test_the_end_of_a_job_of_an_older_api_is_published_as_its_id(
    bench: Bench, request_: CarRequest
) -> None:
    ended = Ends(bench)
    old, new = jobs(request_, 2)
    bench.submitter.submit([old, new])
    bench.broker.hdel(keys.job(old.id), "ends")
    bench.store.finish_all([JobEnd(each.id, JobState.CANCELLED) for each in (old, new)])
    (first, second) = ended.take()
    assert first == (keys.ENDED_CHANNEL, old.id.encode())
    assert [end.id for end in read_ends(second[1])] == [new.id]


# Messages


def test_waiting_jobs_of_a_caller_are_joined_into_one_message(
    bench: Bench, request_: CarRequest
) -> None:
    given = jobs(request_, 200)
    for job in given:
        bench.submitter.submit([job])
    bench.submitter.submit(theirs := jobs(request_, 1, OTHER))
    found = bench.messages()
    assert [len(each) for each in found] == [1, 1, 64, 1, 64, 64, 6]
    assert found.pop(3) == ids(theirs)
    assert [job_id for each in found for job_id in each] == ids(given)


def test_one_message_waits_for_each_process_and_jobs_gather_behind_it(
    bench: Bench, request_: CarRequest
) -> None:
    given = jobs(request_, 6)
    for job in given[:4]:
        bench.submitter.submit([job])
    assert bench.broker.llen("interactive") == 2
    bench.submitter.submit(given[4:])
    assert [len(each) for each in bench.messages()] == [1, 1, 4]


def test_a_message_takes_no_longer_than_a_micro_batch(bench: Bench, request_: CarRequest) -> None:
    given = jobs(request_, 8, cars=60)
    for job in given:
        bench.submitter.submit([job])
    assert [len(each) for each in bench.messages()] == [1, 1, 3, 3]
    bench.submitter.submit(given := jobs(request_, 8, cars=60))
    assert bench.messages() == [ids(given[:3]), ids(given[3:6]), ids(given[6:])]


def test_a_job_that_waits_is_not_entered_again(bench: Bench, request_: CarRequest) -> None:
    occupied, waiting = jobs(request_, 2), jobs(request_, 3)
    for job in occupied:
        bench.submitter.submit([job])
    bench.submitter.submit(waiting[:2])
    bench.work.send_jobs(waiting)
    bench.work.send_jobs(waiting[1:2])
    load = FairQueues(bench.broker, time.time).of(QueueName.INTERACTIVE).load(ME)
    assert load == (3, 3)
    assert bench.messages()[2:] == [ids(waiting)]
    assert FairQueues(bench.broker, time.time).of(QueueName.INTERACTIVE).load(ME) == (0, 0)


def test_items_that_an_older_release_took_leave_no_count(
    bench: Bench, request_: CarRequest
) -> None:
    fair, prefix = FairQueues(bench.broker, time.time).interactive, keys.fair_queue("interactive")
    for job in jobs(request_, 4):
        bench.submitter.submit([job])
    # Its script removes the item of two jobs and counts one.
    for name in ("items", "waiting", "ready:quick", "groups:quick:me", "group:quick:me:jobs"):
        bench.broker.delete(prefix + name)
    assert fair.load(ME) == (2, 2)
    fair.dispatch()
    assert fair.load(ME) == (0, 0)


def test_while_an_older_worker_lives_each_job_has_a_message_of_its_form(
    bench: Bench, request_: CarRequest
) -> None:
    bench.broker.zadd(keys.WORKERS, {"interactive|old@host:1|2": time.time()})
    work = make_work_sender(bench.broker, time.time)
    given = jobs(request_, 3)
    assert JobSubmitter(bench.store, work).submit(given) == [STORED] * 3
    tasks = []
    while (packed := bench.broker.rpop("interactive")) is not None:
        message = json.loads(packed)
        tasks.append(message["headers"]["task"])
        with work.taken(message["headers"]["id"]):
            pass
    assert tasks == ["valuation.value_job"] * 3
