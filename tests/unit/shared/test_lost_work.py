"""Bulk work without a message is found on a real broker; other work is left alone."""

from typing import Any

import pytest

from shared.domain.ids import BatchId, CallerId, new_id
from shared.queue.lost_work import CONFIRMED_AFTER_S, LostWorkSweeper
from shared.queue.names import QueueName, TaskName
from shared.queue.work import WorkSender, make_work_sender
from shared.redis import keys
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.redis.connections import connect
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.workers import WorkerRegistry
from tests.conftest import Servers

CALLER = CallerId("shop")
BATCH = BatchId(new_id())
OWNER = "bulk@host:1-x"
LEASE_S = 30
PLACES = 2


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Jobs:
    """The job store, as far as the sweep writes it."""

    def __init__(self) -> None:
        self.overdue: list[str] = []

    def postpone(self, _until: float, *job_ids: str) -> None:
        self.overdue += job_ids


class Setting:
    """A broker with a bulk worker that takes no messages, and one batch that is cut."""

    def __init__(self, servers: Servers) -> None:
        self.clock = Clock()
        self.broker = servers.broker
        self.ledger = BatchLedger(
            servers.broker, self.clock, lease_s=LEASE_S, window=PLACES + 1, max_attempts=5
        )
        self.jobs: Any = Jobs()
        fair = FairQueues(servers.broker, self.clock)
        fair.announce("bulk@host", [QueueName.BULK], PLACES)
        WorkerRegistry(servers.broker, self.clock).heartbeat("bulk@host:1", [QueueName.BULK])
        self.work: WorkSender = make_work_sender(servers.broker, self.clock)
        self.sweeper = LostWorkSweeper(
            servers.broker, self.ledger, self.jobs, fair.bulk, self.clock
        )
        self.ledger.create(BATCH, 1.0, CALLER)
        self.ledger.record_split(BATCH, PLACES + 1, 30)

    def send(self, *chunks: int) -> None:
        for chunk in chunks:
            order = {"batch_id": BATCH, "chunk": chunk, "enqueued_at": self.clock()}
            self.work.send(TaskName.VALUE_CHUNK, order, CALLER)

    def sweep_twice(self, pause_s: float = CONFIRMED_AFTER_S) -> list[str]:
        """The steps that are overdue after two sweeps."""
        assert self.sweeper.sweep() == 0, "one sweep is no proof"
        self.clock.now += pause_s
        self.sweeper.sweep()
        return sorted(self.ledger.claim_overdue(BATCH))


@pytest.fixture
def setting(servers: Servers) -> Setting:
    return Setting(servers)


def test_a_leased_step_that_was_never_sent_is_overdue(setting: Setting) -> None:
    assert setting.ledger.advance(BATCH).chunks == [0, 1, 2]
    setting.send(0, 2)
    assert setting.sweep_twice() == ["1"]


def test_a_step_on_the_queue_or_in_the_fair_queue_is_left_alone(setting: Setting) -> None:
    setting.ledger.advance(BATCH)
    setting.send(0, 1, 2)
    assert setting.broker.llen("bulk") == PLACES
    assert setting.sweep_twice() == []


def test_a_message_that_was_lost_on_the_way_frees_its_place_and_its_step(setting: Setting) -> None:
    setting.ledger.advance(BATCH)
    setting.send(0, 1, 2)
    assert setting.broker.rpop("bulk")
    assert setting.sweep_twice() == ["0"]
    assert setting.broker.llen("bulk") == PLACES, "the next one was sent in its place"


@pytest.mark.parametrize("owner", [OWNER, ""])
def test_a_step_whose_message_a_worker_holds_is_left_alone(setting: Setting, owner: str) -> None:
    setting.ledger.advance(BATCH)
    setting.send(0, 1, 2)
    message = setting.broker.rpop("bulk")
    record = b'[%b, "", "bulk"]' % message
    setting.broker.hset(keys.unacked(owner) if owner else "unacked", "tag", record)
    if owner:
        setting.broker.zadd(keys.OWNERS, {owner: setting.clock()})
    assert setting.sweep_twice() == []


def test_a_step_that_was_begun_between_two_sweeps_is_left_alone(setting: Setting) -> None:
    setting.ledger.advance(BATCH)
    setting.send(0, 1)
    assert setting.sweeper.sweep() == 0
    setting.clock.now += CONFIRMED_AFTER_S
    setting.ledger.begin(BATCH, "2")
    assert setting.sweeper.sweep() == 0
    assert setting.ledger.claim_overdue(BATCH) == []


def test_sweeps_that_follow_at_once_do_not_confirm_each_other(setting: Setting) -> None:
    setting.ledger.advance(BATCH)
    setting.send(0, 1)
    assert setting.sweep_twice(pause_s=0.1) == []
    setting.clock.now += CONFIRMED_AFTER_S
    assert setting.sweeper.sweep() == 1


def test_a_postponed_step_waits_as_it_was_told(setting: Setting) -> None:
    setting.ledger.advance(BATCH)
    setting.send(0, 1)
    setting.ledger.begin(BATCH, "2")
    setting.ledger.postpone(BATCH, "2", 10.0, count_attempt=False)
    assert setting.sweep_twice() == []


def test_a_long_job_whose_message_was_lost_is_overdue(setting: Setting) -> None:
    job: Any = type("Job", (), {"id": new_id(), "is_long": True, "effort": 1_000, "caller": CALLER})
    setting.work.send_job(job)
    assert setting.broker.rpop("bulk")
    setting.sweep_twice()
    assert setting.jobs.overdue == [job.id]
    assert setting.broker.hlen(keys.fair_queue("bulk") + "tokens") == 0


def test_a_job_is_carried_out_although_its_place_cannot_be_freed() -> None:
    work = make_work_sender(connect("redis://127.0.0.1:1/0"), Clock())
    carried_out = False
    with work.taken("message"):
        carried_out = True
    assert carried_out
