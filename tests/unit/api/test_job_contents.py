"""The contents of jobs: read and written once, however many ask, and never in the way of others."""

import asyncio
import dataclasses
import threading

import pytest

from api.http.compression import Coding
from api.http.responses import HttpResponse
from api.jobs.content import JobContents, Representation, poll_response
from api.jobs.reading import LARGE_CARS, JobView
from api.loops.event_loops import BROKER_THREADS, EventLoops
from api.loops.kept_bytes import ENTRY_BYTES, KeptBytes
from api.transport import responder
from api.transport.responder import Responder
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from tests.conftest import REFERENCE_CAR

ME = CallerId("me")
FORM = Representation(0.9, "en")
POLLS = 3 * BROKER_THREADS
ESTIMATE = Estimate(
    price_mad=150_000.0, quantiles_mad=(1.0,) * 9, model_version="v1", model_known=True
)


def ended_list(cars=LARGE_CARS + 1, **changes):
    members = {"finished_at": 9.5, "attempts": 1, "state": JobState.SUCCEEDED} | changes
    return Job(
        id=JobId(new_id()), caller=ME, created_at=1.5, is_list=True,
        requests=(load_car_request(REFERENCE_CAR),) * cars, estimates=(ESTIMATE,) * cars,
        **members,
    )  # fmt: skip


class Store:
    """One job; a read of it ends when `may_go_on` is set."""

    def __init__(self, job):
        self.job = job
        self.reads = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.models: dict[str, dict[str, str | None]] = {
            "v1": {"version": "v1", "data_as_of": "2026-06", "basis": "asking_prices"}
        }
        self.contents = JobContents(self, lambda version: self.models[version])

    def get(self, *_):
        self.reads += 1
        assert self.may_go_on.wait(20)
        return self.job

    def queue_position(self, _):
        return None

    @property
    def view(self):
        """What polls know of a large job."""
        return JobView(self.job.id, self.job.state, None, finished_at=self.job.finished_at)

    def ask(self, form=FORM):
        return self.contents.of_from_thread(self.view, ME, form)


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.RUNNING])
def test_polls_of_a_list_leave_the_threads_of_all_others(state):
    open_job = {"state": state, "finished_at": None}
    store = Store(ended_list() if state.is_terminal else ended_list(**open_job))
    store.may_go_on.clear()

    async def poll_all():
        loops = EventLoops()
        polls = [
            asyncio.ensure_future(store.contents.of(store.view, ME, FORM)) for _ in range(POLLS)
        ]
        await asyncio.sleep(0.05)
        # Before any of them is answered.
        assert await asyncio.wait_for(loops.run_in_thread(lambda: "answer"), 10) == "answer"
        store.may_go_on.set()
        return await asyncio.gather(*polls)

    bodies = asyncio.run(poll_all())
    assert {id(body.json) for body in bodies} == {id(bodies[0].json)}
    assert store.reads == 1


def test_later_polls_of_an_ended_list_read_nothing():
    store = Store(ended_list())
    assert store.ask() == store.ask()
    assert store.reads == 1
    store.ask(Representation(0.5, "en"))
    store.ask(Representation(0.9, "fr"))
    assert store.reads == 3


def test_the_bodies_of_small_jobs_are_not_kept():
    """Thousands of them would fill the memory of the process."""
    store = Store(ended_list(2))
    assert store.ask() == store.ask()
    assert store.reads == 2


def test_a_list_that_ended_again_is_read_again():
    """A failed job that is replayed ends at another time, perhaps in the same state."""
    store = Store(ended_list(state=JobState.FAILED, error="valuation-failed"))
    first = store.ask()
    store.job = dataclasses.replace(store.job, finished_at=10.5, attempts=2)
    again = store.ask()
    assert (first.attempts, again.attempts, store.reads) == (1, 2, 2)
    assert first.etag != again.etag


def test_a_model_that_becomes_known_changes_the_body_and_its_etag():
    store = Store(ended_list())
    known = store.models["v1"]
    store.models["v1"] = known | {"data_as_of": None}
    before = store.ask()
    store.models["v1"] = known
    after = store.ask()
    assert before.json != after.json
    assert before.etag != after.etag
    assert poll_response(after, before.etag).status == 200
    assert poll_response(after, after.etag).status == 304


def test_a_model_that_becomes_known_while_the_body_is_made_changes_the_next():
    store = Store(ended_list())
    known = store.models["v1"]
    unknown = known | {"data_as_of": None}

    def identity(_):
        """Known from the second question on, and all those of the second body."""
        asked.append(1)
        return unknown if len(asked) == 1 else known

    asked: list[int] = []
    contents = JobContents(store, identity)
    assert contents.of_from_thread(store.view, ME, FORM).state is JobState.SUCCEEDED
    assert b'"2026-06"' in contents.of_from_thread(store.view, ME, FORM).json


@pytest.mark.parametrize(
    "changes", [{"finished_at": 9.9}, {"attempts": 2}, {"started_at": 3.0}, {"error": "x"}]
)
def test_the_etag_of_an_ended_job_follows_what_is_shown(changes):
    job = dataclasses.replace(ended_list(1), state=JobState.FAILED, error="valuation-failed")
    contents = Store(job).contents

    def etag(shown):
        return contents.of_from_thread(JobView.of(shown), ME, FORM).etag

    # As another process would say, which has kept nothing.
    other = Store(job).contents.of_from_thread(JobView.of(job), ME, FORM).etag
    assert etag(job) == other
    changed = dataclasses.replace(job, **changes)
    assert Store(changed).contents.of_from_thread(JobView.of(changed), ME, FORM).etag != other


def test_only_so_many_bytes_are_kept():
    kept = KeptBytes(3 * (100 + ENTRY_BYTES))
    for name in "abc":
        kept.put(name, name, 100)
    assert kept.get("a") == "a"
    kept.put("d", "d", 100)
    assert [kept.get(name) for name in "abcd"] == ["a", None, "c", "d"]
    kept.put("d", "D", 50)
    assert kept.size == 250 + 3 * ENTRY_BYTES
    kept.put("e", "e", 10_000)
    assert kept.get("e") is None
    assert kept.get("d") == "D"


def test_a_body_is_compressed_once_for_all_who_get_it(monkeypatch):
    calls = []

    def compress(*args):
        calls.append(args)
        return b"short"

    monkeypatch.setattr(responder, "compress", compress)

    async def send_all():
        sender = Responder(frozenset(), EventLoops())
        etag = ("ETag", 'W/"x"')
        response = HttpResponse(200, [("Content-Type", "application/json"), etag], b"x" * 9000)
        coding = Coding.GZIP
        together = [sender._compressed(response, coding) for _ in range(POLLS)]
        return [*await asyncio.gather(*together), await sender._compressed(response, coding)]

    assert set(asyncio.run(send_all())) == {b"short"}
    assert len(calls) == 1
