"""Submissions, polls and streams are answered the same by the event loop and by Flask."""

import json
import time

import pytest

from api.jobs.reading import Moved
from api.transport.wsgi_bridge import WsgiBridge
from shared.blobs.ended_jobs.segments import JobSegments
from shared.blobs.stores import open_ended_job_store
from shared.domain.ids import new_id
from shared.keys.entries import KeyLimits, Scope, new_key
from shared.keys.store import write_keys
from shared.redis import keys
from shared.redis.job_store.records import SUMMARY_FIELDS
from shared.redis.job_store.segment_writing import SegmentWriting
from tests.conftest import REFERENCE_CAR as CAR
from tests.unit.api.both_paths import (
    BROKEN_KM,
    ENGLISH,
    SILENT_KM,
    assert_same,
    body,
    read,
    refresh_keys,
    sent,
)
from worker.valuations import archive_sweep
from worker.valuations.archive_sweep import JobArchiver

JOBS = {"path": "/jobs"}
UNKNOWN = new_id()
ORIGIN = "https://shop.example"


def submitted(changes=(), headers=(), **options):
    """A submission of the reference car."""
    return sent(changes, headers, **JOBS, **options)


def submitted_body(raw, headers=(), **options):
    return body(raw, headers, **JOBS, **options)


SUBMISSIONS = [
    submitted({"km_driven": SILENT_KM}),
    submitted({"km_driven": SILENT_KM}, ENGLISH, query="include=depreciation&coverage=0.5"),
    submitted_body(json.dumps([CAR | {"km_driven": SILENT_KM}] * 3).encode()),
    submitted_body(json.dumps([CAR | {"km_driven": SILENT_KM}] * 40).encode(), ENGLISH),
    # Waiting for the end.
    submitted({}, {"prefer": "wait=10"}),
    submitted({"asking_price_mad": 99_000}, {"prefer": "wait=10", **ENGLISH}, query="coverage=0.8"),
    submitted_body(json.dumps([CAR, CAR]).encode(), {"prefer": "wait=10"}),
    submitted({"km_driven": BROKEN_KM}, {"prefer": "wait=10"}),
    submitted({"km_driven": SILENT_KM}, {"prefer": "wait=0.2"}),
    submitted({"km_driven": SILENT_KM}, {"prefer": "wait=0"}),
    submitted({"km_driven": SILENT_KM}, {"prefer": "respond-async"}),
    # Idempotency-Keys.
    submitted({"km_driven": SILENT_KM}, {"idempotency-key": "a"}),
    submitted({"km_driven": SILENT_KM}, {"idempotency-key": "a", **ENGLISH}),
    submitted({"km_driven": 5}, {"idempotency-key": "a"}),
    submitted({"km_driven": SILENT_KM}, {"idempotency-key": "a"}, query="coverage=0.5"),
    submitted({}, {"idempotency-key": "x" * 201}),
    submitted({}, {"idempotency-key": ""}),
    # Errors.
    submitted({"year": 1800}),
    submitted({"year": 1800, "fuel": "banana"}, ENGLISH),
    submitted_body(json.dumps([CAR | {"year": 1800}, CAR, {}]).encode(), ENGLISH),
    submitted_body(b"[]"),
    submitted_body(b""),
    submitted_body(b'{"a":'),
    submitted_body(b'{"year": 2020, "year": 2021}'),
    submitted_body(b"\xff", ENGLISH),
    submitted_body(b"null"),
    submitted_body(json.dumps(CAR).encode(), is_cut=True),
    submitted({}, query="coverage=7"),
    submitted({}, ENGLISH, query="include=x&wait=1&coverage=0.9&coverage=0.5"),
    submitted({}, {"content-type": "text/plain"}),
    submitted({}, {"content-encoding": "gzip"}),
    submitted({}, {"host": "evil.example"}),
    submitted({}, {"authorization": "Bearer x"}, query="%ff=%fe"),
    # Other sites.
    submitted({}, {"sec-fetch-site": "cross-site"}),
    submitted({}, {"origin": "https://elsewhere.example"}),
    submitted({"km_driven": SILENT_KM}, {"sec-fetch-site": "same-origin"}),
]


def test_submissions_are_answered_the_same(both_ways):
    told = assert_same(both_ways(SUBMISSIONS))
    statuses = {status for status, _, _ in told}
    assert statuses >= {200, 202, 403, 415, 421, 422}
    assert [status for status, _, _ in told[4:8]] == [200] * 4
    assert "content-location" in told[4][1]
    assert "retry-after" in told[8][1]


POLLS = [
    submitted({}, {"prefer": "wait=10"}),
    read("/jobs/{id0}"),
    read("/jobs/{id0}", "coverage=0.5", ENGLISH),
    read("/jobs/{id0}", "wait=5"),
    read("/jobs/{id0}", headers={"if-none-match": "{etag1}"}),
    read("/jobs/{id0}", headers={"if-none-match": "{strong1}"}),
    read("/jobs/{id0}", headers={"if-none-match": '"x", {etag1}'}),
    read("/jobs/{id0}", headers={"if-none-match": "*"}),
    read("/jobs/{id0}", headers={"if-none-match": "{etag1}", **ENGLISH}),
    read("/jobs/{id0}", "coverage=0.5", {"if-none-match": "{etag1}"}),
    read("/jobs/{id0}", headers={"if-match": '"x"'}),
    read("/jobs/{id0}", headers={"if-match": "{strong1}", "if-none-match": "{etag1}"}),
    read("/jobs/{id0}", headers={"if-match": "*", "if-none-match": "{etag1}"}),
    read("/jobs/{id0}", headers={"range": "bytes=0-3"}),
    read("/jobs/{id0}", headers={"if-modified-since": "Mon, 01 Jan 2024 00:00:00 GMT"}),
    read("/jobs/{id0}", method="HEAD"),
    read("/jobs/{id0}", method="OPTIONS"),
    read("/jobs/{id0}", method="PUT"),
    read("/jobs/{id0}/"),
    read("/jobs/{id0}/x"),
    # Open jobs.
    submitted({"km_driven": SILENT_KM}),
    read("/jobs/{id20}"),
    read("/jobs/{id20}", headers={"if-none-match": "{etag21}"}),
    read("/jobs/{id20}", "wait=0.2", {"if-none-match": '"other"', **ENGLISH}),
    read("/jobs/{id20}", "wait=0.2&coverage=0.8"),
    # A failed job, and a list.
    submitted({"km_driven": BROKEN_KM}, {"prefer": "wait=10"}),
    read("/jobs/{id25}"),
    read("/jobs/{id25}", headers=ENGLISH),
    submitted_body(json.dumps([CAR | {"colour": "red"}, CAR]).encode(), {"prefer": "wait=10"}),
    read("/jobs/{id28}", headers=ENGLISH),
    # Errors.
    read(f"/jobs/{UNKNOWN}"),
    read(f"/jobs/{UNKNOWN}", "wait=5", ENGLISH),
    read("/jobs/unknown"),
    read("/jobs/{id0}", "wait=31"),
    read("/jobs/{id0}", "wait=x&y=1", ENGLISH),
    read("/jobs/{id0}", "wait=-1&wait=2"),
    read("/jobs/{id0}", headers={"host": "evil.example"}),
    # Pages of other origins.
    read("/jobs/{id0}", headers={"origin": ORIGIN}),
    read("/jobs/{id0}", headers={"origin": "https://elsewhere.example"}),
    read(f"/jobs/{UNKNOWN}", headers={"origin": ORIGIN}),
    read("/jobs/{id0}", headers={"sec-fetch-site": "cross-site"}),
    # A deleted job, and its events.
    read("/jobs/{id0}/events"),
    read("/jobs/{id0}", method="DELETE"),
    read("/jobs/{id0}"),
    read("/jobs/{id0}", "wait=5", ENGLISH),
    read("/jobs/{id0}/events"),
]


def test_polls_of_jobs_are_answered_the_same(both_ways):
    told = assert_same(both_ways(POLLS, cors_origins=ORIGIN))
    assert [status for status, _, _ in told[:16]] == [
        200, 200, 200, 200, 304, 304, 304, 304, 200, 200, 412, 412, 304, 200, 200, 200,
    ]  # fmt: skip
    assert told[22][0] == 304
    assert told[31][0] == 404
    assert "('access-control-allow-origin', 'https://shop.example')" in told[37][1]
    assert "access-control" not in told[38][1]
    assert [status for status, _, _ in told[-4:]] == [204, 410, 410, 410]


LONG = json.dumps([CAR | {"year": 2019 - n} for n in range(12)]).encode()
WRONG = json.dumps([CAR | {"year": 1800}] * 40).encode()
CODINGS = ("zstd", "gzip", "gzip;q=0.5, identity", "br", "gzip, identity;q=0", "*;q=0", "")


def test_large_responses_are_compressed_alike(both_ways):
    requests = [
        submitted_body(LONG, {"prefer": "wait=10"}),
        *(
            read("/jobs/{id0}", headers={"accept-encoding": coding, **more})
            for coding in CODINGS
            for more in ({}, {"origin": ORIGIN}, {"if-none-match": "{etag1}"})
        ),
        read("/jobs/{id0}", headers={"accept-encoding": "gzip", "range": "bytes=0-3"}),
        submitted_body(LONG, {"prefer": "wait=10", "accept-encoding": "gzip", "range": "bytes=0-"}),
        *(
            each
            for coding in CODINGS
            for each in (
                submitted_body(LONG, {"prefer": "wait=10", "accept-encoding": coding}),
                submitted_body(WRONG, {"accept-encoding": coding}),
                submitted({}, {"prefer": "wait=10", "accept-encoding": coding}),
                read(f"/jobs/{UNKNOWN}", headers={"accept-encoding": coding, "origin": ORIGIN}),
                read("/jobs/{id0}/events", headers={"accept-encoding": coding}),
            )
        ),
    ]
    told = assert_same(both_ways(requests, cors_origins=ORIGIN))
    polls = [headers for status, headers, _ in told[1:22:3] if status == 200]
    assert ["'zstd'" in headers for headers in polls] == [True, False, False, False, False, False]
    assert ["'gzip'" in headers for headers in polls] == [False, True, False, False, True, False]
    assert all("('vary', 'Accept-Language, Accept-Encoding')" in headers for headers in polls)
    assert [status for status, _, _ in told[3:22:3]] == [304, 304, 304, 304, 304, 406, 304]
    assert all(
        "('vary', 'Accept-Language, Accept-Encoding')" in told[n][1] for n in range(3, 16, 3)
    )
    assert "content-encoding" not in told[22][1] + told[23][1]
    assert [status for status, _, _ in told[24:29]] == [200, 422, 200, 404, 200]
    assert ["'zstd'" in headers for _, headers, _ in told[24:29]] == [True, True] + [False] * 3


def test_a_poll_ends_when_its_job_is_cancelled(both_ways):
    told = both_ways(
        [
            submitted({"km_driven": SILENT_KM}),
            read("/jobs/{id0}", method="DELETE"),
            read("/jobs/{id0}", "wait=20"),
        ]
    )
    assert '"state":"CANCELLED"' in assert_same(told)[-1][2]


STREAMS = [
    submitted({}, {"prefer": "wait=10"}),
    read("/jobs/{id0}/events"),
    read("/jobs/{id0}/events", headers=ENGLISH),
    read("/jobs/{id0}/events", headers={"origin": ORIGIN}),
    read("/jobs/{id0}/events", headers={"last-event-id": "SUCCEEDED.1.1.0"}),
    read("/jobs/{id0}/events", headers={"last-event-id": "QUEUED.0.0.0"}),
    read("/jobs/{id0}/events", "x=1", ENGLISH),
    read(f"/jobs/{UNKNOWN}/events"),
    read(f"/batches/{UNKNOWN}/events"),
    read(f"/batches/{UNKNOWN}", "wait=3"),
    read(f"/batches/{UNKNOWN}", "wait=x", ENGLISH),
    read("/batches/nothing/events"),
    submitted({"km_driven": SILENT_KM}),
    read("/jobs/{id12}", method="DELETE"),
    read("/jobs/{id12}/events"),
]


def test_event_streams_are_the_same(both_ways):
    told = assert_same(both_ways(STREAMS, cors_origins=ORIGIN))
    assert [status for status, _, _ in told[1:12]] == [
        200, 200, 200, 204, 200, 422, 404, 404, 404, 422, 404,
    ]  # fmt: skip
    assert "event: end\ndata: {" in told[1][2]
    assert "'text/event-stream; charset=utf-8'" in told[1][1]
    assert "access-control-allow-origin" in told[3][1]


def test_polls_of_batches_are_answered_the_same(both_ways):
    rows = b"company,model,year,fuel,transmission,km_driven\nDacia,Logan,2018,Diesel,Manual,5\n"
    told = both_ways(
        [
            body(rows, {"content-type": "text/csv"}, path="/batches"),
            read("/batches/{id0}"),
            read("/batches/{id0}", "wait=0.3", ENGLISH),
            read("/batches/{id0}", headers={"origin": ORIGIN}),
            read("/batches/{id0}", method="DELETE"),
            read("/batches/{id0}", "wait=0.2"),
        ],
        cors_origins=ORIGIN,
    )
    assert [status for status, _, _ in assert_same(told)] == [202, 200, 200, 200, 202, 200]


def expired(app):
    """Delete each job as soon as it is stored; its tombstone stays."""
    jobs = app.extensions["carprice"].jobs
    submit = jobs._submitter.submit

    def submit_and_expire(wanted, *more):
        outcomes = submit(wanted, *more)
        jobs._store._client.delete(*(keys.job(each.id) for each in wanted))
        return outcomes

    jobs._submitter.submit = submit_and_expire


def test_expired_jobs_are_gone_both_ways(both_ways):
    polls = [read("/jobs/{id0}"), read("/jobs/{id0}/events")]
    told = assert_same(both_ways([submitted({"km_driven": SILENT_KM}), *polls], expired))
    assert [status for status, _, _ in told] == [202, 410, 410]
    assert "job-expired" in told[1][2]


def moved(app):
    """Move each ended job into a segment before anything is read."""
    services = app.extensions["carprice"]
    reads = services.jobs._reads
    archiver = JobArchiver(
        JobSegments(open_ended_job_store(services.settings), SUMMARY_FIELDS),
        SegmentWriting(services.jobs._store._client, time.time),
        time.time,
    )
    read_all = reads._process

    def move_and_read(queries):
        archiver.sweep()
        found = read_all(queries)
        SEEN.extend(found)
        return found

    reads._process = move_and_read


SEEN = []
"""What polls were told while jobs move."""


MOVED = [
    submitted({}, {"prefer": "wait=10"}),
    read("/jobs/{id0}"),
    read("/jobs/{id0}", "coverage=0.5&wait=5", ENGLISH),
    read("/jobs/{id0}", headers={"if-none-match": "{etag1}"}),
    read("/jobs/{id0}/events"),
    submitted_body(json.dumps([CAR] * 120).encode(), {"prefer": "wait=10"}),
    read("/jobs/{id5}"),
    read("/jobs"),
    submitted({}, {"prefer": "wait=10", "idempotency-key": "a"}),
    read("/jobs/{id8}"),
    submitted({}, {"prefer": "wait=10", "idempotency-key": "a"}),
    read("/jobs/{id0}", method="DELETE"),
    read("/jobs/{id0}"),
    read("/jobs/{id0}", method="DELETE"),
]


def test_jobs_that_have_left_redis_are_answered_as_those_in_it(both_ways, monkeypatch):
    monkeypatch.setattr(archive_sweep, "MIN_AGE_S", 0)
    monkeypatch.setattr(archive_sweep, "MAX_WAIT_S", 0)
    plain = assert_same(both_ways(MOVED))
    told = assert_same(both_ways(MOVED, moved))
    assert [each[0] for each in told] == [each[0] for each in plain]
    assert [each[2] for each in told] == [each[2] for each in plain]
    assert [each[0] for each in told[-3:]] == [204, 410, 410]
    assert SEEN.count(Moved()) >= 2 * 5


def keyed(*entries):
    def prepare(app):
        write_keys(app.extensions["carprice"].settings.keys_file, list(entries))
        refresh_keys(app)

    return prepare


def bearer(key, **more):
    return {"authorization": f"Bearer {key}", **more}


def test_jobs_of_another_caller_do_not_exist_both_ways(both_ways):
    (mine, my_entry), (other, other_entry) = (
        new_key(name, frozenset({Scope.PREDICT})) for name in ("me", "other")
    )
    requests = [
        submitted({}, bearer(mine, prefer="wait=10")),
        *(
            read(f"/jobs/{job_id}{rest}", headers=bearer(key))
            for rest in ("", "/events")
            for job_id in ("{id0}", UNKNOWN)
            for key in (mine, other)
        ),
        submitted({"km_driven": SILENT_KM}, bearer(mine)),
        read("/jobs/{id9}", "wait=5", bearer(other)),
    ]
    told = assert_same(both_ways(requests, keyed(my_entry, other_entry)))
    assert [status for status, _, _ in told] == [
        200, 200, 404, 404, 404, 200, 404, 404, 404, 202, 404,
    ]  # fmt: skip
    another, nobody = told[2], told[3]
    assert another == nobody, "the answer does not say that the job exists"


@pytest.mark.parametrize("scope", [Scope.PREDICT, Scope.BULK])
def test_scopes_are_checked_alike(both_ways, scope):
    key, entry = new_key("shop", frozenset({scope}))
    requests = [
        each
        for headers in (bearer(key), bearer("no"), {})
        for each in (
            submitted({"km_driven": SILENT_KM}, headers),
            read(f"/jobs/{UNKNOWN}", headers=headers),
            read(f"/jobs/{UNKNOWN}/events", headers=headers),
            read(f"/batches/{UNKNOWN}", headers=headers),
            read(f"/batches/{UNKNOWN}/events", headers=headers),
        )
    ]
    told = [status for status, _, _ in assert_same(both_ways(requests, keyed(entry)))]
    expected = [202, 404, 404, 403, 403] if scope is Scope.PREDICT else [403, 403, 403, 404, 404]
    assert told == [*expected, *[401] * 10]


def test_limits_of_keys_are_enforced_alike(both_ways):
    limits = KeyLimits(requests_per_s=0.001, burst=9, cars_per_day=3, open_jobs=2)
    key, entry = new_key("shop", frozenset({Scope.PREDICT}), limits=limits)
    silent = {"km_driven": SILENT_KM}
    two = json.dumps([CAR | silent] * 2).encode()
    requests = [
        submitted(silent, bearer(key)),
        submitted({"year": 1800}, bearer(key)),
        submitted_body(two, bearer(key)),
        submitted(silent, bearer(key)),  # too many open jobs
        read("/jobs/{id0}", method="DELETE", headers=bearer(key)),
        submitted(silent, bearer(key)),  # no car is left
        read("/jobs/{id0}", headers=bearer(key)),
        read("/jobs/{id0}", "wait=1", bearer(key)),
        read(f"/jobs/{UNKNOWN}", headers=bearer(key)),
        read("/jobs/{id0}", headers=bearer(key)),  # too many requests
    ]
    told = assert_same(both_ways(requests, keyed(entry)))
    assert [status for status, _, _ in told] == [202, 422, 202, 429, 202, 429, 200, 200, 404, 429]
    types = [json.loads(told[n][2])["type"].rpartition("#")[2] for n in (3, 5, 9)]
    assert types == ["open-jobs-limit-reached", "car-limit-reached", "rate-limited"]
    assert all("ratelimit-policy" in headers for _, headers, _ in told)


def without_model(app):
    (app.extensions["carprice"].settings.versions_path / "ACTIVE").unlink()


def broken(app):
    def fail(*_):
        raise ZeroDivisionError("nobody thought of this")

    app.extensions["carprice"].jobs._active_model.version_id = fail


@pytest.mark.parametrize(
    ("prepare", "changes", "status"),
    [
        (without_model, {}, 503),
        (broken, {}, 500),
        (lambda _: None, {"queue_max_length": 0}, 503),
        (lambda _: None, {"redis_url": "unix:///nowhere/broker.sock"}, 503),
    ],
)
def test_outages_are_told_alike(both_ways, prepare, changes, status):
    requests = [submitted(), submitted({}, {"idempotency-key": "k", **ENGLISH})]
    if "redis_url" in changes:
        requests += [read(f"/jobs/{UNKNOWN}"), read(f"/jobs/{UNKNOWN}", "wait=2")]
        requests.append(read(f"/jobs/{UNKNOWN}/events"))
    told = assert_same(both_ways(requests, prepare, **changes))
    assert {each for each, _, _ in told} == {status}


def test_the_event_loop_does_not_ask_flask(both_ways, monkeypatch):
    """Otherwise the comparisons of this file would compare Flask with itself."""
    asked = []
    call = WsgiBridge.__call__

    async def note(bridge, scope, receive, send):
        asked.append((scope["method"], scope["path"]))
        await call(bridge, scope, receive, send)

    monkeypatch.setattr(WsgiBridge, "__call__", note)
    requests = [
        submitted(),
        submitted({}, {"idempotency-key": "k", "prefer": "wait=5"}),
        read("/jobs/{id0}", "wait=5", {"accept-encoding": "gzip, deflate, br, zstd"}),
        submitted_body(LONG, {"prefer": "wait=10", "accept-encoding": "gzip, identity;q=0.5"}),
        read("/jobs/{id3}", headers={"accept-encoding": "gzip"}),
        read("/jobs/{id0}/events"),
        read("/jobs/{id0}", "wait=5", {"range": "bytes=0-", "if-range": '"x"'}),
        read("/jobs/{id0}", "wait=5", {"if-modified-since": "Mon, 01 Jan 2024 00:00:00 GMT"}),
        read("/jobs/{id0}", "wait=5", {"if-unmodified-since": "Mon, 01 Jan 2024 00:00:00 GMT"}),
        read(f"/batches/{UNKNOWN}", "wait=5"),
        read(f"/batches/{UNKNOWN}/events"),
    ]
    both_ways(requests)
    assert len(asked) == 2 * len(requests), "each only while the fast path is off"
