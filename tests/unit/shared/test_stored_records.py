"""What other versions of the service stored: the last release's records, and those of a newer one.

The records of releases are fixtures (`tests/stored_records`). Those of a newer version have further
values, members and fields, or a schema version that is not known yet.
"""

import dataclasses

import msgpack
import orjson
import pytest

from api.jobs.listing import ListFilter
from shared.blobs.parts import PartHead
from shared.domain.batch import BatchOptions
from shared.domain.clock import month_number
from shared.domain.errors import (
    IdempotencyConflict,
    JobNotFound,
    NewerRecord,
    UnreadableRecord,
)
from shared.domain.ids import BatchId, CallerId, JobId, ValuationId
from shared.domain.job import Job, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.queue.names import TaskName
from shared.queue.sender import push_reply, unpack_reply
from shared.redis import keys
from shared.redis.connections import ConnectionCache
from shared.redis.job_store.store import UNREADABLE_RETRY_S
from tests.batch_parts import CALLER as BATCH_CALLER
from tests.batch_parts import Memory
from tests.stored_records.restore import RELEASES
from tests.stored_records.stored import ME, Stored
from tests.stored_records.write import CARS, EXTRAS, TABLE, estimate
from worker.valuations.sweep import JobSweeper

REPLY_TO = "reply-of-the-test"
WITHOUT_MONTHS = "405ed78"
"""A release whose cached estimates name no month."""
WRITTEN_IN = month_number("2026-11")
"""The month in which the estimates of the other release were cached."""


@pytest.fixture(params=RELEASES)
def stored(request, servers, tmp_path):
    return Stored(servers, tmp_path, request.param)


# The last release


def test_jobs_of_the_last_release_are_read(stored):
    full = stored.answer("succeeded_full")
    assert (full["state"], len(full["result"])) == ("SUCCEEDED", 3)
    assert full["result"][0]["comparables"][0].listings == 12
    assert stored.answer("succeeded")["result"]["match"] == "corrected"
    assert stored.answer("failed")["error"]["code"] == "valuation-failed"
    assert stored.answer("cancelled")["state"] == "CANCELLED"
    assert stored.answer("queued")["progress"] == {"done": 0, "total": 3}


@pytest.mark.parametrize("name", ["queued", "from_predict", "long", "running"])
def test_jobs_of_the_last_release_are_carried_out(stored, name):
    assert stored.work_on(name) is JobState.SUCCEEDED
    assert stored.jobs.delete(stored.id(name), ME)


def test_messages_of_the_last_release_are_answered(stored):
    (message,) = stored.messages("interactive", TaskName.VALUE_CARS)
    stored.now = msgpack.unpackb(message["items"][0])[3]  # before the deadline of the requests
    stored.service.value_micro_batch(message["group_id"], REPLY_TO, message["items"])
    _, answered = unpack_reply(stored.broker.lrange(REPLY_TO, 0, -1)[0])
    assert [each for each, _ in answered] == stored.release["ids"]["requests"]
    assert all(isinstance(result, Estimate) for _, result in answered)
    assert set(stored.messages("bulk", TaskName.VALUE_LIST)[0]) == {"job_id", "enqueued_at"}


def test_replies_of_the_last_release_are_read(stored):
    _, answered = unpack_reply(stored.broker.lrange("reply", 0, -1)[0])
    assert [result for _, result in answered] == [estimate(full=True), estimate(full=False)]


def test_cached_estimates_are_hits_in_the_month_that_they_hold_for(stored, monkeypatch):
    """Those of the first release hold for no month, and are misses."""
    stored.now -= 10**8
    monkeypatch.setattr("shared.redis.cache.current_month", lambda: WRITTEN_IN)
    car = load_car_request(CARS[0]).car
    for extras in ((), EXTRAS):
        found = stored.cache.get("v1", car, extras)
        if stored.release_name == WITHOUT_MONTHS:
            assert found is None
        else:
            assert found.estimate == estimate(full=bool(extras))


def test_idempotency_keys_of_the_last_release_hold(stored):
    idempotency = stored.listing.idempotency
    assert idempotency.claim(ME, "jobs", "stock-1", "digest", "1" * 26) == ("0" * 26, False)
    with pytest.raises(IdempotencyConflict):
        idempotency.claim(ME, "jobs", "stock-1", "another", "1" * 26)


def test_batches_of_the_last_release_are_read_and_end(stored):
    path, ids = stored.path, stored.release["ids"]
    ended = path.batches.get(BatchId(ids["batch_ended"]), BATCH_CALLER)
    assert (ended.progress.counts.valid, ended.progress.counts.invalid) == (1, 1)
    for name in ("batch_valued", "batch_split", "batch_accepted"):
        path.store.expire_leases(())
        path.sweep.sweep()
        path.drain()
        batch = path.batches.get(BatchId(ids[name]), BATCH_CALLER)
        assert (batch.progress.state, batch.progress.counts.valid) == (JobState.SUCCEEDED, 1)


# A newer version: further values are ignored


def with_more_values(request):
    """A packed request and its car with one more value each."""
    names = [] if len(request) > 4 else ["exact", None, []]
    return [[*request[0], "new"], *request[1:], *names, "new"]


def with_one_more_value(estimate):
    """A packed estimate with all values of this version and one more."""
    return [*Estimate.from_wire(estimate).to_wire(), "new"]


def test_one_more_value_in_each_request_and_estimate_is_ignored(stored):
    before = stored.answer("succeeded_full")
    stored.change("succeeded_full", "estimates", lambda each: list(map(with_one_more_value, each)))
    stored.change("succeeded_full", "requests", lambda each: list(map(with_more_values, each)))
    stored.set_field("succeeded_full", "new_field", 1)
    assert stored.answer("succeeded_full") == before
    stored.change("queued", "requests", lambda each: list(map(with_more_values, each)))
    assert stored.work_on("queued") is JobState.SUCCEEDED


def test_one_more_value_in_each_extra_is_ignored(stored):
    before = stored.answer("succeeded_full")

    def extend(estimates):
        for one in estimates:
            base, contributions, *more = one[4]
            one[4] = [base, [[*each, "new"] for each in contributions], *more, "new"]
            kilometres, pace, points, *more = one[5]
            one[5] = [kilometres, pace, [[*each, "new"] for each in points], *more, "new"]
            one[6] = [[*each[:-1], [*each[-1], "same_colour"], "new"] for each in one[6]]
        return estimates

    stored.change("succeeded_full", "estimates", extend)
    assert stored.answer("succeeded_full") == before


def test_missing_last_values_of_an_older_version_are_defaults(stored):
    stored.change("succeeded", "estimates", lambda each: [one[:4] for one in each])
    stored.change("succeeded", "requests", lambda each: [[one[0][:6], *one[1:]] for one in each])
    assert stored.answer("succeeded")["state"] == "SUCCEEDED"


def test_a_warning_of_a_newer_version_is_shown_by_its_code(stored):
    warning = {"pointer": "/year", "code": "from-the-future"}
    stored.change(
        "succeeded", "requests", lambda each: [[*one[:3], [warning], *one[4:]] for one in each]
    )
    (shown,) = stored.answer("succeeded")["result"]["warnings"]
    assert "from-the-future" in shown["detail"]


def test_one_more_value_in_messages_and_replies_is_ignored(stored):
    (message,) = stored.messages("interactive", TaskName.VALUE_CARS)
    items = [msgpack.packb([*msgpack.unpackb(item), "new"]) for item in message["items"]]
    stored.now = msgpack.unpackb(items[0])[3]
    stored.service.value_micro_batch("another", REPLY_TO, items)
    reply = msgpack.unpackb(stored.broker.lrange(REPLY_TO, 0, -1)[0])
    reply = [reply[0], [[*each, "new"] for each in reply[1]], "new"]
    _, answered = unpack_reply(msgpack.packb(reply))
    assert [type(result) for _, result in answered] == [Estimate] * 3


def test_further_members_in_the_records_of_a_batch_are_ignored(stored):
    ids = stored.release["ids"]

    def extend(record):
        if isinstance(record, dict):
            return {name: extend(each) for name, each in record.items()} | {"new": 1}
        return [extend(each) for each in record] if isinstance(record, list) else record

    for name in ("batch_ended", "batch_valued", "batch_split"):
        for file in (stored.path.folder / "batches" / ids[name]).glob("*.json"):
            record = orjson.loads(file.read_bytes())
            kept = {
                each: record[each] for each in ("options", "dialect", "counts") if each in record
            }
            record = extend(record) | {
                each: extend(part)
                | {
                    inner: part[inner]
                    for inner in ("columns", "findings", "units", "constants")
                    if inner in part and isinstance(part[inner], dict)
                }
                for each, part in kept.items()
            }
            file.write_bytes(orjson.dumps(record))
    part = stored.path.folder / "batches" / ids["batch_valued"] / "parts" / "000000"
    packed = part.read_bytes()
    length = int.from_bytes(packed[:4], "big")
    values = msgpack.unpackb(packed[4 : 4 + length])
    values += [[]] * (len(PartHead._fields) - len(values))  # what releases since then have added
    head = msgpack.packb([*values, "new"])
    part.write_bytes(len(head).to_bytes(4, "big") + head + packed[4 + length :])
    test_batches_of_the_last_release_are_read_and_end(stored)


# A newer version: what cannot be ignored


def burning_hydrogen(request):
    """A packed request with a fuel that this version does not know."""
    car, *rest = request
    return [[*car[:3], "Hydrogen", *car[4:]], *rest]


UNREADABLE = {
    "schema": lambda stored, name: stored.set_field(name, "schema", 99),
    "fuel": lambda stored, name: stored.change(
        name, "requests", lambda each: list(map(burning_hydrogen, each))
    ),
    "extra": lambda stored, name: stored.change(
        name, "requests", lambda each: [[one[0], one[1], ["resale"], *one[3:]] for one in each]
    ),
    "garbage": lambda stored, name: stored.set_field(name, "requests", b"\xc1 no msgpack"),
    "shape": lambda stored, name: stored.set_field(name, "requests", msgpack.packb({"cars": 1})),
}  # fmt: skip


@pytest.fixture(params=UNREADABLE)
def make_unreadable(request):
    return UNREADABLE[request.param]


@pytest.mark.parametrize("name", ["succeeded", "succeeded_full"])
def test_an_ended_job_of_a_newer_version_says_so_to_its_caller_only(stored, make_unreadable, name):
    make_unreadable(stored, name)
    with pytest.raises(UnreadableRecord):
        stored.jobs.get(stored.id(name), ME)
    with pytest.raises(JobNotFound):
        stored.jobs.get(stored.id(name), CallerId("other"))
    assert stored.jobs.delete(stored.id(name), ME), "it can still be deleted"


def test_a_known_version_that_is_too_new_is_named(stored):
    stored.set_field("succeeded", "schema", 99)
    with pytest.raises(NewerRecord):
        stored.jobs.get(stored.id("succeeded"), ME)


def test_an_open_job_of_a_newer_version_waits_and_is_not_repeated(stored, make_unreadable):
    make_unreadable(stored, "queued")
    job_id, sent = stored.id("queued"), []
    sweeper = JobSweeper(stored.jobs, sent.extend, stored.dead_letters, max_attempts=3)
    for _ in range(20):
        stored.service.value_jobs([job_id], stored.now)
        sweeper.sweep()
        stored.now += UNREADABLE_RETRY_S + 1
    assert job_id not in [each.id for each in sent]
    hash_ = stored.broker.hgetall(keys.job(job_id))
    assert (hash_[b"state"], hash_.get(b"attempts")) == (b"QUEUED", None)
    assert job_id in stored.jobs.overdue(1000), "a worker of the newer version finds it"


def test_an_open_job_that_nobody_can_read_fails_when_its_retention_is_over(stored):
    stored.set_field("queued", "schema", 99)
    stored.now += 10**9
    stored.service.value_jobs([stored.id("queued")], stored.now)
    assert stored.broker.hget(keys.job(stored.id("queued")), "state") == b"FAILED"


def test_the_list_leaves_out_what_it_cannot_read_and_keeps_it(stored):
    stored.set_field("succeeded", "state", "PAUSED")
    listed = {each.id for each in stored.listing.page(ME, ListFilter(), None, 50).summaries}
    assert stored.id("succeeded") not in listed
    assert {stored.id("queued"), stored.id("failed")} <= listed
    assert stored.broker.zscore(keys.jobs_by_caller(ME), stored.id("succeeded")) is not None


def test_a_request_of_a_newer_version_is_answered_by_its_reason(stored):
    (message,) = stored.messages("interactive", TaskName.VALUE_CARS)
    newer = msgpack.unpackb(message["items"][0])
    newer[1][0][3] = "Hydrogen"
    stored.now = newer[3]
    stored.service.value_micro_batch(
        message["group_id"], REPLY_TO, [msgpack.packb(newer), *message["items"][1:]]
    )
    _, answered = unpack_reply(stored.broker.lrange(REPLY_TO, 0, -1)[0])
    results = dict(answered)
    assert isinstance(results[newer[0]], UnreadableRecord)
    assert sum(isinstance(each, Estimate) for each in results.values()) == 2


def test_a_reply_of_a_newer_version_fails_only_its_own_request(stored):
    push_reply(
        ConnectionCache(stored.broker),
        REPLY_TO,
        "group",
        [(ValuationId("a"), estimate(full=False))] * 2,
    )
    reply = msgpack.unpackb(stored.broker.lrange(REPLY_TO, 0, -1)[0])
    reply[1][0][1] = {"price": 1}
    (_, first), (_, second) = unpack_reply(msgpack.packb(reply))[1]
    assert isinstance(first, UnreadableRecord)
    assert isinstance(second, Estimate)


@pytest.mark.parametrize("change", [{"schema": 99}, {"options": {"on_error": "ask"}}])
def test_a_batch_of_a_newer_version_waits_without_losing_attempts(stored, change):
    path, batch_id = stored.path, BatchId(stored.release["ids"]["batch_split"])
    manifest = path.folder / "batches" / batch_id / "manifest.json"
    manifest.write_bytes(orjson.dumps(orjson.loads(manifest.read_bytes()) | change))
    for _ in range(5):
        path.value.run(batch_id, 0)
        path.clock.now += 60
    with pytest.raises(UnreadableRecord):
        path.batches.get(batch_id, BATCH_CALLER)
    assert int(stored.broker.hget(keys.batch_attempts(batch_id), 0) or 0) == 0
    assert path.store.progress(batch_id).state is not JobState.FAILED


def test_a_new_job_of_one_car_has_the_form_of_the_first_release(stored):
    """Workers of the first release read it: everything is in the hash, under the same names."""
    job = Job(
        id=JobId("7" * 26), caller=ME, state=JobState.QUEUED, created_at=1.0, is_list=False,
        requests=(load_car_request(CARS[0]),),
    )  # fmt: skip
    stored.jobs.create(job)
    new = stored.broker.hgetall(keys.job(job.id))
    old = stored.broker.hgetall(keys.job(stored.id("running")))
    assert set(old) - {b"started_at", b"attempts"} <= set(new)
    assert b"schema" not in new
    assert new[b"requests"] == old[b"requests"]


def test_a_new_batch_has_the_members_of_the_first_release(stored):
    """Workers of the first release refuse further members, so that others have a version."""
    manifests = []
    for batch_id in (stored.release["ids"]["batch_ended"], stored.path.accept(TABLE)):
        path = stored.path.folder / "batches" / batch_id / "manifest.json"
        manifests.append(orjson.loads(path.read_bytes()))
    old, new = manifests
    assert set(new) == set(old)
    for part in ("dialect", "options"):
        assert set(new[part]) == set(old[part])


def test_a_file_that_a_live_worker_cannot_read_waits_for_the_update(stored):
    table = b"company,model,year,mileage,mileage unit\nDacia,Logan,2018,120000,km\n"
    table += b"Dacia,Logan,2017,80000,mi\n"
    batches = dataclasses.replace(stored.path.batches, protocol=lambda: 1)
    with pytest.raises(NewerRecord):
        batches.accept(Memory(table), BatchOptions(), BATCH_CALLER)
    assert batches.accept(Memory(TABLE), BatchOptions(), BATCH_CALLER)
    assert stored.path.accept(table)
