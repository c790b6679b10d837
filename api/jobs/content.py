"""The bodies of job responses, and the responses themselves; the same for Flask and event loop."""

import hashlib
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, TypeVar

import orjson
from werkzeug.http import quote_etag

from api.http.compression import ACCEPT_ENCODING
from api.http.conditional import is_named
from api.http.responses import ACCEPT_LANGUAGE, JSON, HttpResponse
from api.jobs.list_json import ListForm, list_columns, list_json
from api.jobs.reading import JobView
from api.jobs.schemas import ModelIdentity, accepted_headers, serialize_job
from api.jobs.service import Jobs
from api.loops.event_loops import EventLoops
from shared.domain.ids import CallerId, JobId
from shared.domain.job import Job, QueuePosition
from shared.i18n.languages import Language

T = TypeVar("T")

CACHE_CONTROL = ("Cache-Control", "private, no-cache")
POLL_HEADERS = [("Content-Type", JSON), CACHE_CONTROL]


class Representation(NamedTuple):
    """In which form a job is shown."""

    coverage: float
    """Of the price intervals."""
    language: Language


class JobBody(NamedTuple):
    """A job and its JSON."""

    job: Job
    json: bytes


class JobContents:
    """Makes the bodies of job responses.

    Large jobs are read and dumped on a thread, one at a time (`api.jobs.reading.LARGE_CARS`).

    Args:
        jobs: reads large jobs.
        identity: `ActiveVersionCache.identity`.
        loops: provides the threads.
    """

    def __init__(self, jobs: Jobs, identity: ModelIdentity, loops: EventLoops) -> None:
        self._jobs = jobs
        self._identity = identity
        self._loops = loops
        self._lock = threading.Lock()
        self._last: tuple[Representation, JobBody] | None = None
        """Many requests may wait for the end of one job."""

    async def read(self, job_id: JobId, caller: CallerId, form: Representation) -> JobBody:
        """A job of this caller as it is now; raises as `Jobs.read`."""
        return await self.of(await self._jobs.read(job_id, caller), caller, form)

    async def of(self, view: JobView, caller: CallerId, form: Representation) -> JobBody:
        """The body of a job that was read; raises as `Jobs.get`."""
        if view.job is not None:
            return self._dump(view.job, view.position, form)
        return await self._loops.run_in_thread(lambda: self.of_from_thread(view, caller, form))

    def of_from_thread(self, view: JobView, caller: CallerId, form: Representation) -> JobBody:
        """As `of`, for threads."""
        if view.job is not None:
            return self._dump(view.job, view.position, form)
        with self._lock:
            job = self._jobs.get(view.id, caller)
            return self._dump(job, self._jobs.queue_position(job), form)

    def one_at_a_time(self, call: Callable[[], T]) -> T:
        """Do something else with a large job, on a thread."""
        with self._lock:
            return call()

    def _dump(self, job: Job, position: QueuePosition | None, form: Representation) -> JobBody:
        if self._last is not None and self._last[1].job is job and self._last[0] == form:
            return self._last[1]
        body = JobBody(job, self._json(job, position, form))
        if job.state.is_terminal:  # it never changes
            self._last = form, body
        return body

    def _json(self, job: Job, position: QueuePosition | None, form: Representation) -> bytes:
        """The JSON of a job; that of a long list is written from its columns."""
        columns = list_columns(job)
        shown = serialize_job(
            job,
            position,
            form.coverage,
            self._identity,
            form.language,
            with_result=columns is None,
        )
        if columns is None:
            return orjson.dumps(shown)
        model = self._identity(columns.estimates.model_version)
        result = list_json(job.id, columns, ListForm(form.coverage, model, form.language))
        return orjson.dumps(shown)[:-1] + b',"result":' + result.encode() + b"}"


def ended_etag(view: JobView, form: Representation) -> str:
    """The weak ETag of an ended job, which is known without reading its content."""
    return _etag(f"{view.id} {view.state} {form.coverage} {form.language}".encode())


def not_modified(etag: str, if_none_match: str) -> HttpResponse | None:
    """304 if the caller has what an ETag names; None if it is to be sent.

    Args:
        etag: the ETag.
        if_none_match: the header; empty if it was not sent.
    """
    if not if_none_match or not is_named(etag, if_none_match):
        return None
    # It has no media type, by which other responses get this `Vary` when they are sent.
    vary = f"{ACCEPT_LANGUAGE}, {ACCEPT_ENCODING}"
    headers = [CACHE_CONTROL, ("ETag", etag), ("Vary", vary)]
    return HttpResponse(int(HTTPStatus.NOT_MODIFIED), headers, b"")


def ended_response(body: JobBody, etag: str) -> HttpResponse:
    """200 with an ended job."""
    return HttpResponse(int(HTTPStatus.OK), [*POLL_HEADERS, ("ETag", etag)], body.json)


def open_response(body: JobBody, if_none_match: str) -> HttpResponse:
    """The response to a poll of an open job: 200, or 304 if nothing has changed."""
    etag = _etag(body.json)
    retry_after = ("Retry-After", "1")
    known = not_modified(etag, if_none_match)
    if known is not None:
        return HttpResponse(known.status, [*known.headers, retry_after], b"")
    return HttpResponse(int(HTTPStatus.OK), [*POLL_HEADERS, ("ETag", etag), retry_after], body.json)


def waited_response(view: JobView, body: JobBody, waited_s: float) -> HttpResponse:
    """The response to a submission with `Prefer: wait`: 200 with an ended job, or 202."""
    headers = [("Content-Type", JSON), ("Preference-Applied", f"wait={waited_s:g}")]
    if body.job.state.is_terminal:
        headers.append(("Content-Location", f"/jobs/{view.id}"))
        return HttpResponse(int(HTTPStatus.OK), headers, body.json)
    headers += accepted_headers(view.id)
    return HttpResponse(int(HTTPStatus.ACCEPTED), headers, body.json)


def _etag(content: bytes) -> str:
    return quote_etag(hashlib.blake2b(content, digest_size=12).hexdigest(), weak=True)
