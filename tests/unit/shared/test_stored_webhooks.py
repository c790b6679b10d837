"""Webhooks, callbacks, secrets and shared messages as releases stored them."""

import json

import orjson
import pytest

from api.webhooks.bodies import WebhookBodies
from shared.domain.ids import BatchId, JobId
from shared.domain.job import JobState
from shared.queue.names import TaskName
from shared.queue.work import make_work_sender
from shared.redis import keys
from shared.redis.fair_queues.queues import FairQueues
from shared.redis.webhooks.records import RecordedEnd
from shared.redis.webhooks.scripts import CIRCUIT_LONGEST_S
from shared.redis.webhooks.store import Places, WebhookStore
from shared.redis.workers import WorkerRegistry
from shared.webhooks.secret_store import SERVICE, WebhookSecrets
from tests.batch_parts import CALLER as BATCH_CALLER
from tests.stored_records.callbacks import ESTIMATE, ME, RETRY_S, SECRET, callback
from tests.stored_records.restore import RELEASES, read_release
from tests.stored_records.stored import Stored

WITH_CALLBACKS = [each for each in RELEASES if "callback_queued" in read_release(each)["ids"]]
"""Releases that have webhooks."""

PENDING = ("retried", "paused", "leased", "due", "recorded")


@pytest.fixture(params=WITH_CALLBACKS)
def stored(request, servers, tmp_path):
    """The records of a release at the time at which they were written."""
    made = Stored(servers, tmp_path, request.param)
    made.now = made.release["written_at"]
    return made


@pytest.fixture
def webhooks(stored):
    return WebhookStore(stored.broker, lambda: stored.now, retry_s=RETRY_S)


def claim(webhooks):
    """The webhooks that are due, by the job that each reports."""
    found = []
    while claimed := webhooks.claim(Places(64, 64, 64, {})):
        found += claimed
    return {each.delivery.end.summary.id: each for each in found}


def body(stored, end):
    """What would be sent."""
    bodies = WebhookBodies(stored.jobs, lambda version: {"version": version})
    return orjson.loads(bodies.body(end))


def test_a_job_with_a_callback_is_carried_out_and_its_end_recorded(stored):
    assert stored.work_on("callback_queued") is JobState.SUCCEEDED
    end = RecordedEnd.from_entry(stored.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1)[-1])
    assert end.summary.id == stored.id("callback_queued")
    assert end.callback == callback("queued")


def test_a_batch_with_a_callback_ends_and_its_end_is_recorded(stored):
    path, batch_id = stored.path, BatchId(stored.id("callback_batch_open"))
    assert path.batches.get(batch_id, BATCH_CALLER).manifest.callback == callback("open")
    path.store.expire_leases(())
    path.sweep.sweep()
    path.drain()
    ends = map(RecordedEnd.from_entry, stored.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1))
    (end,) = (each for each in ends if each.summary.id == batch_id)
    assert (end.callback, end.counts) == (callback("open"), (1, 1, 0))


def test_recorded_ends_become_webhooks_of_the_same_content(stored, webhooks):
    entries = stored.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1)
    ends = {each.summary.id: each for each in map(RecordedEnd.from_entry, entries)}
    job, batch = stored.id("webhook_recorded"), stored.id("callback_batch_ended")
    assert set(ends) == {job, batch}
    sent = body(stored, ends[job])
    assert (sent["type"], sent["data"]["id"]) == ("job.succeeded", job)
    assert sent["data"]["result"]["price_mad"] == ESTIMATE.price_mad
    sent = body(stored, ends[batch])
    assert (sent["type"], sent["data"]["outcome"]) == ("batch.succeeded", "with_errors")
    assert sent["data"]["counts"] == {"valid": 1, "invalid": 1, "failed": 0}
    assert webhooks.take_in() == 2
    assert webhooks.take_in() == 0
    assert {job, batch} <= {each.end.summary.id for each in webhooks.pending(100).values()}


def test_pending_webhooks_are_sent_under_their_ids_when_they_are_due(stored, webhooks):
    before = {each.end.summary.id: name for name, each in webhooks.pending(100).items()}
    assert set(claim(webhooks)) == {stored.id("webhook_due")}
    stored.now += webhooks._lease_s + 1
    assert {stored.id("webhook_due"), stored.id("webhook_leased")} == set(claim(webhooks))
    stored.now += 2 * 7200 + CIRCUIT_LONGEST_S
    webhooks.take_in()
    found = claim(webhooks)
    # A receiver that failed is tried with one webhook at a time: the first of them.
    names = [each for each in PENDING if each != "paused"]
    assert {stored.id(f"webhook_{each}") for each in names} <= set(found)
    (tried,) = (each for each in found.values() if "paused" in each.delivery.end.callback.url)
    assert tried.delivery.last_status == 503
    webhooks.end(tried, is_receiver_well=True)
    stored.now += 1
    assert stored.id("webhook_paused") in claim(webhooks), "it answered: the others are sent"
    for job_id, each in found.items():
        if job_id in before:
            assert (each.id, each.receiver) == (before[job_id], each.delivery.receiver)


def test_webhooks_that_were_given_up_are_listed_and_replayed(stored, webhooks):
    ((name, delivery),) = webhooks.failed(10).items()
    assert delivery.end.summary.id == stored.id("webhook_given_up")
    assert (delivery.last_outcome, delivery.last_status, delivery.attempts) == ("failed", 503, 1)
    assert webhooks.replay(name)
    assert claim(webhooks)[stored.id("webhook_given_up")].id == name
    assert webhooks.failed(10) == {}


def test_all_webhooks_end_and_leave_nothing_behind(stored, webhooks):
    webhooks.take_in()
    for name in webhooks.failed(10):
        webhooks.replay(name)
    stored.now += 3 * 7200
    while found := claim(webhooks):
        for each in found.values():
            assert webhooks.end(each, is_receiver_well=True)
    assert webhooks.figures().pending == 0
    left = {each.decode() for each in stored.broker.keys("*webhook*")}
    assert all(stored.broker.ttl(each) > 0 for each in left), left


def test_secrets_sign(stored, tmp_path):
    (path := tmp_path / "secrets.json").write_text(
        json.dumps(stored.release["home"]["webhook-secrets.json"])
    )
    secrets = WebhookSecrets(path)
    for owner in (SERVICE, "k"):
        assert secrets.signing(owner) == [SECRET]


def test_jobs_that_share_messages_are_all_sent_and_carried_out(stored):
    """Some are in a message on the queue, the others wait in the fair queue."""
    WorkerRegistry(stored.broker).heartbeat("i@host:1", ["interactive"])
    FairQueues(stored.broker, lambda: stored.now).announce("i@host", ["interactive"], 1)
    work = make_work_sender(stored.broker, lambda: stored.now)
    named: list[str] = []
    while found := stored.messages("interactive", TaskName.VALUE_JOBS):
        named += [each for message in found for each in message["job_ids"]]
        tokens = [json.loads(each) for each in stored.broker.lrange("interactive", 0, -1)]
        stored.broker.delete("interactive")
        for each in tokens:
            with work.taken(each["headers"]["id"]):
                pass
    grouped = stored.release["ids"]["grouped"]
    assert sorted(each for each in named if each in grouped) == sorted(grouped), "each once"
    stored.service.value_jobs([JobId(each) for each in grouped], stored.now)
    states = {stored.jobs.get(JobId(each), job_caller(stored, each)).state for each in grouped}
    assert states == {JobState.SUCCEEDED}


def job_caller(stored, job_id):
    """Whose job it is."""
    job = stored.jobs.load(JobId(job_id))
    assert job is not None
    assert job.caller in {ME, "other"}
    return job.caller
