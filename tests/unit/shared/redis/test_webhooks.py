"""Webhooks in Redis: recorded with the end of the work, taken in, handed out fairly, given up."""

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import msgpack
import pytest
from structlog.testing import capture_logs

from shared.domain.batch import BatchOutcome, BatchProgress, RowCounts
from shared.domain.ids import BatchId, CallerId, JobId, new_id
from shared.domain.job import Callback, Job, JobEnd, JobKind, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.metrics import RECORDS_UNREADABLE, WEBHOOKS
from shared.redis import keys
from shared.redis.batch_ledger.ledger import BatchLedger
from shared.redis.job_store.memory import JobUsageCounts
from shared.redis.job_store.records import TOMBSTONE_BYTES
from shared.redis.job_store.store import JobStore
from shared.redis.webhooks.records import Delivery, RecordedEnd, callback_bytes
from shared.redis.webhooks.scripts import CIRCUIT_FIRST_S, CIRCUIT_THRESHOLD, WELL_TTL_S
from shared.redis.webhooks.set_aside import KEPT_TTL_S
from shared.redis.webhooks.store import Claimed, Places, WebhookStore

ME, OTHER = CallerId("me"), CallerId("other")
ESTIMATE = Estimate(
    price_mad=1.0, quantiles_mad=(1.0,) * 9, model_version="v", model_known=True
)  # fmt: skip
RETRY_S = 86_400.0


class Work:
    """Jobs and batches with callbacks on a real Redis, and their webhooks."""

    def __init__(self, broker, car):
        self.broker = broker
        self.now = time.time()
        self.request = load_car_request(car)
        self.jobs = JobStore(broker, lambda: self.now, retention_s=3600, lease_s=30)
        self.ledger = BatchLedger(broker, lambda: self.now, lease_s=30, window=4, max_attempts=5)
        self.webhooks = WebhookStore(broker, lambda: self.now, retry_s=RETRY_S)

    def job(self, url="https://shop.example/hooks", caller=ME, **options):
        job = Job(
            id=JobId(new_id(self.now)), caller=caller, state=JobState.QUEUED, created_at=self.now,
            requests=(self.request,), is_list=False,
            callback=url and Callback(url=url, key_id="k", language="en"), **options,
        )  # fmt: skip
        assert self.jobs.create(job)
        return job

    def ended(self, *, number=1, **options):
        jobs = [self.job(**options) for _ in range(number)]
        self.jobs.finish_all([JobEnd(job.id, JobState.SUCCEEDED, (ESTIMATE,)) for job in jobs])
        while self.webhooks.take_in():
            pass
        return jobs

    def claim(self, free=64, of_receiver=4, of_caller=16, taken=()):
        return self.webhooks.claim(Places(free, of_receiver, of_caller, dict(taken)))

    def fail(self, claimed, *, is_down=True, delay_s=5.0):
        delivery = replace(claimed.delivery, attempts=1, last_attempt_at=self.now)
        due = self.now + delay_s
        self.webhooks.retry(claimed, delivery, due, is_down=is_down, pause_s=0.0)

    def entries(self):
        return [
            RecordedEnd.from_entry(each)
            for each in self.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1)
        ]


@pytest.fixture
def work(servers, car):
    return Work(servers.broker, car)


class TestRecording:
    def test_the_end_of_a_job_is_recorded_once(self, work):
        job = work.job()
        work.job(url=None)
        work.now += 1
        work.jobs.start(job.id)
        work.now += 1
        assert work.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE])
        assert not work.jobs.finish(job.id, JobState.FAILED, error="valuation-failed")
        (end,) = work.entries()
        assert (end.summary.id, end.summary.kind, end.summary.caller) == (job.id, "job", ME)
        assert (end.summary.state, end.error) == (JobState.SUCCEEDED, "")
        times = (end.summary.created_at, end.summary.started_at, end.summary.finished_at)
        assert times == pytest.approx((work.now - 2, work.now - 1, work.now))
        assert (end.summary.done, end.summary.total, end.cars) == (1, 1, 1)
        assert end.callback == job.callback

    def test_jobs_without_callback_are_not_recorded(self, work):
        work.ended(url=None, number=3)
        assert work.entries() == []
        assert work.webhooks.figures().pending == 0

    def test_a_failed_and_a_cancelled_job_are_recorded(self, work):
        failed, cancelled = work.job(), work.job()
        work.jobs.finish(failed.id, JobState.FAILED, error="attempts-exhausted")
        work.jobs.request_cancel(cancelled.id, ME)
        first, second = work.entries()
        assert (first.summary.state, first.error) == (JobState.FAILED, "attempts-exhausted")
        assert (second.summary.state, second.summary.started_at) == (JobState.CANCELLED, None)
        assert second.summary.done == 0

    def test_a_replayed_job_ends_under_another_webhook_id(self, work):
        job = work.job()
        work.jobs.finish(job.id, JobState.FAILED, error="attempts-exhausted")
        assert work.jobs.reopen(job.id)
        work.now += 1
        work.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE])
        first, second = work.entries()
        assert first.webhook_id != second.webhook_id
        assert (
            first.webhook_id
            == RecordedEnd.from_entry(work.broker.lindex(keys.ENDED_WITH_CALLBACK, 0)).webhook_id
        )

    @pytest.mark.parametrize("is_restored", [False, True])
    def test_the_end_of_a_batch_is_recorded_once(self, work, is_restored):
        batch, callback = (
            BatchId(new_id()),
            Callback(url="http://a.example", key_id="", language="fr"),
        )
        work.ledger.create(batch, work.now, ME, callback)
        if is_restored:
            work.ledger.forget(batch)
            done = {0: RowCounts(1, 1, 0)}
            assert work.ledger.restore(
                batch, work.now, ME, chunks_cut=1, total=4, done=done, callback=callback
            )
            assert work.ledger.progress(batch).counts == RowCounts(1, 1, 0)
        progress = BatchProgress(
            state=JobState.SUCCEEDED, outcome=BatchOutcome.WITH_ERRORS, total=4,
            counts=RowCounts(3, 1, 0), finished_at=work.now + 2,
        )  # fmt: skip
        assert work.ledger.finish(batch, progress)
        assert not work.ledger.finish(batch, progress)
        (end,) = work.entries()
        assert end.summary.kind is JobKind.BATCH
        assert (end.outcome, end.counts) == ("with_errors", (3, 1, 0))
        assert (end.summary.done, end.summary.total) == (4, 4)
        assert end.callback == callback

    def test_a_batch_without_callback_is_not_recorded(self, work):
        batch = BatchId(new_id())
        work.ledger.create(batch, work.now, ME)
        work.ledger.finish(batch, BatchProgress(state=JobState.CANCELLED))
        assert work.entries() == []

    def test_what_a_webhook_takes_counts_for_its_caller(self, work):
        counts = JobUsageCounts(work.broker, lambda: work.now)
        work.job(url=None)
        plain = counts.usage(ME).memory_bytes
        job = work.job(caller=OTHER)
        assert counts.usage(OTHER).memory_bytes == plain + callback_bytes(job.callback)
        work.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE])
        assert counts.usage(OTHER).memory_bytes > callback_bytes(job.callback)
        assert work.jobs.delete(job.id, OTHER)
        kept = work.broker.hgetall(keys.ended_usage(OTHER))
        (tombstones,) = [int(value) for name, value in kept.items() if name.startswith(b"t:")]
        assert tombstones >= TOMBSTONE_BYTES + callback_bytes(job.callback)

    def test_a_webhook_takes_no_more_than_is_counted(self, work):
        def held() -> int:
            """Not the memory of the server: it varies with buffers of connections."""
            names = work.broker.scan_iter(count=10_000)
            return sum(work.broker.memory_usage(name, samples=0) or 0 for name in names)

        work.ended()
        before = held()
        url = "https://shop.example/" + "x" * 300
        jobs = [work.job(url=url) for _ in range(200)]
        stored = held()
        work.jobs.finish_all([JobEnd(job.id, JobState.SUCCEEDED, (ESTIMATE,)) for job in jobs])
        while work.webhooks.take_in():
            pass
        assert work.webhooks.figures().pending == 201
        grown = held() - stored
        assert 0 < grown / 200 < callback_bytes(jobs[0].callback)
        assert before < stored


class TestTakingIn:
    def test_two_senders_take_each_end_in_once(self, work):
        for _ in range(3):
            work.jobs.finish(work.job().id, JobState.SUCCEEDED, [ESTIMATE])
        entries = work.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1)
        assert work.webhooks.take_in() == 3
        # The other one has read the list before, and takes in after it.
        arguments = [part for each in entries for part in work.webhooks._new_delivery(each)]
        assert work.webhooks._take_in(args=arguments) == 0
        assert work.webhooks.figures().pending == 3

    def test_an_end_that_cannot_be_read_stops_no_other(self, work):
        work.broker.rpush(keys.ENDED_WITH_CALLBACK, b"\xff", b"\x81\xa1a\x01")
        work.ended()
        assert work.broker.llen(keys.ENDED_WITH_CALLBACK) == 0
        assert len(work.webhooks.pending(10)) == 1

    def test_a_sender_that_was_down_for_long_still_has_an_hour(self, work):
        job = work.job()
        work.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE])
        work.now += 2 * RETRY_S
        assert work.webhooks.figures().intake_delay_s == pytest.approx(2 * RETRY_S)
        work.webhooks.take_in()
        (delivery,) = work.webhooks.pending(10).values()
        assert delivery.give_up_at == pytest.approx(work.now + 3600)


class TestHandingOut:
    def test_a_claimed_webhook_is_due_again_when_its_lease_ends(self, work):
        work.ended()
        (claimed,) = work.claim()
        assert work.claim() == []
        work.now += 61
        assert [each.id for each in work.claim()] == [claimed.id]
        assert work.webhooks.end(claimed, is_receiver_well=True)
        work.now += 61
        assert work.claim() == []
        assert not work.webhooks.end(claimed, is_receiver_well=True)
        (state,) = work.broker.keys("*webhook*")
        assert state == keys.webhook_receiver(claimed.receiver).encode()
        assert 0 < work.broker.ttl(state) <= WELL_TTL_S

    def test_receivers_take_turns(self, work):
        work.ended(number=20, url="https://busy.example/")
        work.now += 1
        work.ended(url="https://quiet.example/")
        order = []
        for _ in range(4):
            work.now += 0.01
            order += [each.delivery.end.callback.url for each in work.claim(free=1)]
        assert "https://quiet.example/" in order[:2]

    def test_places_of_receivers_and_callers_are_bounded(self, work):
        for number in range(5):
            work.ended(number=3, url=f"https://r{number}.example/")
        work.ended(caller=OTHER)
        taken = Counter()
        work.now += 1
        while claimed := work.claim(of_receiver=2, of_caller=7, taken=taken):
            work.now += 0.001
            for each in claimed:
                taken.update([each.receiver, each.caller])
        assert taken[ME] == 7
        assert taken[OTHER] == 1
        assert max(count for name, count in taken.items() if ":" in name) == 2

    def test_many_receivers_of_one_caller_do_not_hide_that_of_another(self, work, monkeypatch):
        monkeypatch.setattr("shared.redis.webhooks.store.RECEIVERS_MAX", 100)
        for number in range(250):
            work.job(url=f"https://r{number}.example/")
        ids = [each.decode() for each in work.broker.zrange(keys.OPEN_JOBS, 0, -1)]
        work.jobs.finish_all([JobEnd(JobId(each), JobState.SUCCEEDED, (ESTIMATE,)) for each in ids])
        work.webhooks.take_in()
        work.now += 1
        work.ended(caller=OTHER)
        found = [each.caller for _ in range(3) for each in work.claim(taken={ME: 16})]
        assert found == [OTHER]

    def test_callers_whose_receivers_all_hang_leave_a_place_to_another(self, work):
        for number in range(160):
            work.ended(caller=CallerId(f"c{number % 4}"), url=f"https://r{number}.example/")
        work.now += 1
        under_way: list[Claimed] = []

        def claim():
            """Claim as a sender of 64 places does, until there is nothing for it; the callers."""
            before = len(under_way)
            for _ in range(10):
                taken = Counter(each.receiver for each in under_way)
                taken.update(each.caller for each in under_way)
                if free := 64 - len(under_way):
                    under_way.extend(work.claim(free=free, taken=taken))
                work.now += 0.06
            return Counter(each.caller for each in under_way[before:])

        assert max(claim().values()) <= 16
        for turn in range(3):  # attempts end, and webhooks of hanging receivers have waited longer
            work.ended(caller=CallerId(f"other{turn}"))
            del under_way[-1]
            assert f"other{turn}" in claim()

    def test_ports_and_schemes_are_receivers_of_their_own_and_paths_are_not(self, work):
        for url in ("https://a.example/1", "https://a.example:443/2", "http://a.example/1",
                    "https://a.example:8443/1"):  # fmt: skip
            work.ended(url=url)
        work.ended(url="https://a.example/1", caller=OTHER)
        receivers = [each.receiver for each in work.webhooks.pending(10).values()]
        assert len(set(receivers)) == 4


class TestCircuit:
    def open(self, work):
        """Let a receiver fail until it is paused."""
        for _ in range(CIRCUIT_THRESHOLD):
            (claimed,) = work.claim()
            work.fail(claimed, delay_s=0.0)
            work.now += 0.1

    def test_a_receiver_that_fails_is_tried_with_one_webhook_at_a_time(self, work):
        work.ended(number=50)
        self.open(work)
        assert work.claim() == []
        work.now += 1.3 * CIRCUIT_FIRST_S
        (claimed,) = work.claim()
        assert work.claim() == [], "one at a time"
        work.fail(claimed)
        work.now += CIRCUIT_FIRST_S
        assert work.claim() == [], "the pause is twice as long"
        work.now += 1.5 * CIRCUIT_FIRST_S
        (claimed,) = work.claim()
        work.webhooks.end(claimed, is_receiver_well=True)
        assert len(work.claim()) == 1, "it is well again"
        assert len(work.claim()) == 1

    def test_a_receiver_that_fails_most_of_the_time_is_not_paused(self, work):
        work.ended(number=60)
        for number in range(40):
            (claimed,) = work.claim()
            if number % 8:
                work.fail(claimed)
            else:
                work.webhooks.end(claimed, is_receiver_well=True)
            work.now += 1
        for _ in range(CIRCUIT_THRESHOLD + 5):  # it answers no more
            work.now += 1
            for claimed in work.claim():
                work.fail(claimed)
        assert work.claim() == []

    def test_other_receivers_and_callers_are_not_affected(self, work):
        work.ended(number=10)
        self.open(work)
        work.ended(url="https://other.example/")
        work.ended(caller=OTHER)
        assert len(work.claim()) == 2

    def test_attempts_from_before_the_pause_do_not_prolong_it(self, work):
        work.ended(number=20)
        claimed = [work.claim()[0] for _ in range(CIRCUIT_THRESHOLD + 4)]
        started = work.now
        work.now += 1
        for each in claimed:
            delivery = replace(each.delivery, attempts=1, last_attempt_at=started)
            work.webhooks.retry(each, delivery, work.now, is_down=True, pause_s=0.0)
        work.now += 1.3 * CIRCUIT_FIRST_S
        assert len(work.claim()) == 1

    def test_an_answer_that_refuses_one_webhook_opens_no_circuit(self, work):
        work.ended(number=50)
        for _ in range(2 * CIRCUIT_THRESHOLD):
            (claimed,) = work.claim()
            work.fail(claimed, is_down=False)
        assert work.claim()

    def test_a_pause_that_the_receiver_asks_for_holds_all_its_webhooks(self, work):
        work.ended(number=2)
        (claimed,) = work.claim()
        work.webhooks.retry(claimed, claimed.delivery, work.now, is_down=True, pause_s=120.0)
        work.now += 119
        assert work.claim() == []
        work.now += 2
        assert work.claim()


class TestGivingUp:
    def give_up_all(self, work):
        for each in work.webhooks.expired(100):
            work.webhooks.give_up(each, each.delivery)

    def test_webhooks_of_a_dead_receiver_are_given_up_after_a_day(self, work):
        work.ended(number=5)
        TestCircuit().open(work)
        self.give_up_all(work)
        assert work.webhooks.figures().failed == 0
        work.now += RETRY_S + 1
        self.give_up_all(work)
        figures = work.webhooks.figures()
        assert (figures.pending, figures.failed) == (0, 5)
        assert len(work.webhooks.failed(10)) == 5
        assert work.broker.zcard(keys.WEBHOOK_RECEIVERS) == 0
        work.now += KEPT_TTL_S + 1
        assert work.webhooks.figures().failed == 0

    def test_a_replayed_webhook_keeps_its_id_and_has_all_its_time(self, work):
        work.ended(number=2)
        TestCircuit().open(work)
        work.now += RETRY_S + 1
        self.give_up_all(work)
        given_up = list(work.webhooks.failed(10))
        assert work.webhooks.replay(given_up[0])
        assert not work.webhooks.replay("unknown")
        assert list(work.webhooks.failed(10)) == given_up[1:]
        (claimed,) = work.claim()
        assert claimed.id == given_up[0]
        assert claimed.delivery.attempts == 0
        assert claimed.delivery.give_up_at == pytest.approx(work.now + RETRY_S)

    def test_a_pending_webhook_is_sent_at_once_when_it_is_replayed(self, work):
        work.ended()
        (claimed,) = work.claim()
        work.fail(claimed, delay_s=5000.0)
        assert work.claim() == []
        assert work.webhooks.replay(claimed.id)
        assert [each.id for each in work.claim()] == [claimed.id]

    def test_only_the_newest_are_kept(self, work, few):
        work.ended(number=5)
        work.now += RETRY_S + 1
        with few(2):
            self.give_up_all(work)
        assert len(work.webhooks.failed(10)) == 3
        assert len(work.broker.keys(keys.webhook("*"))) == 3

    def test_a_caller_does_not_push_out_those_of_others(self, work, few):
        (theirs,) = work.ended(caller=OTHER)
        work.now += RETRY_S + 1
        self.give_up_all(work)
        work.ended(number=5)
        work.now += RETRY_S + 1
        with few(3):
            self.give_up_all(work)
        kept = [each.end.summary for each in work.webhooks.failed(10).values()]
        assert [each.caller for each in kept] == [ME, ME, OTHER], "theirs is the oldest"
        assert kept[-1].id == theirs.id


@pytest.fixture
def few(monkeypatch):
    """Three webhooks are kept: so many are dropped, which is counted and logged."""

    @contextmanager
    def dropping(number):
        before = WEBHOOKS.labels(result="dropped")._value.get()
        with capture_logs() as logs:
            yield
        told = [each for each in logs if each["event"] == "webhooks_dropped"]
        assert {each["log_level"] for each in told} <= {"warning"}
        assert sum(each["count"] for each in told) == number
        assert WEBHOOKS.labels(result="dropped")._value.get() == before + number

    for module in ("set_aside", "store"):
        monkeypatch.setattr(f"shared.redis.webhooks.{module}.KEPT_MAX", 3)
    return dropping


def test_only_the_newest_ends_that_cannot_be_read_are_kept(work, few):
    for number in range(5):
        work.broker.rpush(keys.ENDED_WITH_CALLBACK, b"\xff%d" % number)
        work.now += 1
        with few(int(number > 2)):
            work.webhooks.take_in()
    assert work.broker.zrange(keys.WEBHOOKS_SET_ASIDE, 0, -1) == [b"\xff2", b"\xff3", b"\xff4"]


def test_only_the_newest_webhooks_that_cannot_be_read_are_kept(work, few):
    work.ended(number=5)
    for name in work.broker.keys(keys.webhook("*")):
        work.broker.set(name, b"\xff", keepttl=True)
    work.now += RETRY_S + 1
    with few(2):
        assert work.webhooks.expired(10) == []
    assert work.webhooks.figures().failed == 3
    assert len(work.broker.keys(keys.webhook("*"))) == 3


def test_records_of_newer_versions_are_left_alone(work):
    work.ended()
    (webhook_id,) = work.webhooks.pending(10)
    newer = Delivery.unpack(work.broker.get(keys.webhook(webhook_id))).pack()
    assert b"\xa6schema\x01" in newer
    work.broker.set(keys.webhook(webhook_id), newer.replace(b"\xa6schema\x01", b"\xa6schema\x63"))
    assert work.claim() == []
    assert work.webhooks.pending(10) == {}
    assert work.broker.exists(keys.webhook(webhook_id))
    assert work.webhooks.unreadable(10) == [webhook_id]
    # When its time is over it is listed as given up, and its record stays.
    work.now += 2 * RETRY_S
    assert work.webhooks.expired(10) == []
    assert work.webhooks.figures().failed == 1
    assert work.webhooks.unreadable(10) == [webhook_id]
    # Back in the release that wrote it.
    work.broker.set(keys.webhook(webhook_id), newer, keepttl=True)
    assert work.webhooks.unreadable(10) == []
    assert work.webhooks.replay(webhook_id)
    assert [each.id for each in work.claim()] == [webhook_id]
    # A member that it does not know is ignored.
    packed = newer[:1].replace(newer[:1], bytes([newer[0] + 1])) + newer[1:] + b"\xa3new\x01"
    assert Delivery.unpack(packed) == Delivery.unpack(newer)


def test_ends_that_cannot_be_read_are_set_aside_and_counted(work):
    job = work.job()
    assert work.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE])
    (entry,) = work.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1)
    newer = entry.replace(b"SUCCEEDED", b"SUPERSEDE")
    assert newer != entry
    work.broker.lset(keys.ENDED_WITH_CALLBACK, 0, newer)
    work.broker.rpush(keys.ENDED_WITH_CALLBACK, b"\xff")
    before = RECORDS_UNREADABLE.labels(record="webhook")._value.get()
    assert work.webhooks.take_in() == 2
    assert RECORDS_UNREADABLE.labels(record="webhook")._value.get() == before + 2
    assert work.webhooks.take_in() == 0
    assert work.webhooks.figures().pending == 2
    named, other = sorted(work.webhooks.unreadable(10), key=len, reverse=True)
    assert len(other) == 16
    assert named == job.id
    # A release that cannot read them leaves them, and their age, as they are.
    work.now += KEPT_TTL_S - 10
    assert work.webhooks.aside.put_back() == 0
    assert work.webhooks.figures().pending == 2
    assert RECORDS_UNREADABLE.labels(record="webhook")._value.get() == before + 2
    work.now += 20
    assert work.webhooks.aside.put_back() == 0
    assert work.webhooks.figures().pending == 0


@pytest.mark.parametrize("odd", ["inf", "-inf", "nan", "1e300", "-1", "x"])
@pytest.mark.parametrize("name", ["created_at", "started_at", "finished_at"])
def test_an_end_at_an_impossible_time_is_set_aside_and_stops_no_other(work, name, odd):
    for _ in range(2):
        job = work.job()
        work.jobs.start(job.id)
        work.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE])
    members = msgpack.unpackb(work.broker.lindex(keys.ENDED_WITH_CALLBACK, 0), raw=True)
    assert name.encode() in members
    damaged = msgpack.packb(members | {name.encode(): odd})
    work.broker.lset(keys.ENDED_WITH_CALLBACK, 0, damaged)
    assert work.webhooks.take_in() == 2
    assert [each.end.summary.id for each in work.webhooks.pending(10).values()] == [job.id]
    assert work.broker.zrange(keys.WEBHOOKS_SET_ASIDE, 0, -1) == [damaged]


@pytest.mark.parametrize(
    "odd",
    [
        {"due_from": "x"}, {"due_from": None}, {"give_up_at": []}, {"give_up_at": float("nan")},
        {"attempts": {}}, {"last_attempt_at": "x"}, {"entry": 7}, {"entry": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_webhook_whose_record_is_damaged_is_left_alone(work, odd):
    work.ended(number=2)
    damaged, intact = work.webhooks.pending(10)
    name = keys.webhook(damaged)
    members = msgpack.unpackb(work.broker.get(name))
    work.broker.set(name, msgpack.packb(members | odd), keepttl=True)
    assert list(work.webhooks.pending(10)) == [intact]
    assert work.webhooks.unreadable(10) == [damaged]
    assert work.webhooks.figures().pending == 2
    assert [each.id for each in (*work.claim(), *work.claim())] == [intact]


def test_an_end_that_was_set_aside_is_put_back_by_the_release_that_can_read_it(work):
    job = work.job()
    assert work.jobs.finish(job.id, JobState.SUCCEEDED, [ESTIMATE])
    (entry,) = work.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1)
    work.broker.rpush(keys.ENDED_WITH_CALLBACK, b"\xff")
    for each in (entry, b"\xff"):
        work.webhooks.aside.keep(each)
    assert work.webhooks.aside.put_back() == 1
    assert work.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1) == [entry]
    assert len(work.webhooks.unreadable(10)) == 1
