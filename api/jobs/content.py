"""The bodies of job responses, and the responses themselves; the same for Flask and event loop."""

import hashlib
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from http import HTTPStatus
from typing import NamedTuple, TypeVar

import orjson
from werkzeug.http import quote_etag

from api.http.compression import ACCEPT_ENCODING
from api.http.conditional import is_named
from api.http.responses import ACCEPT_LANGUAGE, JSON, HttpResponse
from api.jobs.list_json import ListForm, list_columns, list_json
from api.jobs.reading import LARGE_CARS, JobView
from api.jobs.schemas import ModelIdentity, accepted_headers, serialize_job
from api.jobs.service import Jobs
from api.loops.event_loops import LoopThreads
from api.loops.kept_bytes import KeptBytes
from api.loops.shared_reads import SharedReads
from shared.domain.ids import CallerId, JobId
from shared.domain.job import Job, JobState, QueuePosition
from shared.domain.lists.estimates import EstimateList
from shared.i18n.languages import Language

T = TypeVar("T")

CACHE_CONTROL = ("Cache-Control", "private, no-cache")
KEPT_MAX_BYTES = 32 * 1024 * 1024
"""Bodies of ended jobs that are kept: those of some 60 lists of 1,000 cars."""
KEPT_MIN_BYTES = 16 * 1024
"""Shorter ones are not kept: they are made in less time than their job is read in, and take more
memory than their text."""

POLL_HEADERS = [("Content-Type", JSON), CACHE_CONTROL]


class Representation(NamedTuple):
    """In which form a job is shown."""

    coverage: float
    """Of the price intervals."""
    language: Language


class JobBody(NamedTuple):
    """The JSON of a job, and what else a response says of it."""

    state: JobState
    done: int
    attempts: int
    cancel_requested: bool
    json: bytes
    etag: str
    """Weak; of the JSON, so that it changes with everything that the JSON shows."""


class _Kept(NamedTuple):
    """The body of an ended job."""

    body: JobBody
    models: Mapping[str, Mapping[str, str | None]]
    """The identities of the models it names. They are not known on a host that lacks a version."""


class JobContents:
    """Makes the bodies of job responses.

    The long ones of ended jobs are kept. Large jobs are read and dumped on a thread of their own,
    one at a time (`api.jobs.reading.LARGE_CARS`); polls of one that come meanwhile share a read.

    Args:
        jobs: reads large jobs.
        identity: `ActiveVersionCache.identity`.
    """

    def __init__(self, jobs: Jobs, identity: ModelIdentity) -> None:
        self._jobs = jobs
        self._identity = identity
        self._lock = threading.Lock()
        self._kept: KeptBytes[Hashable, _Kept] = KeptBytes(KEPT_MAX_BYTES)
        self._reads = SharedReads(LoopThreads("large-jobs", 1))

    async def read(self, job_id: JobId, caller: CallerId, form: Representation) -> JobBody:
        """A job of this caller as it is now; raises as `Jobs.read`."""
        return await self.of(await self._jobs.read(job_id, caller), caller, form)

    async def of(self, view: JobView, caller: CallerId, form: Representation) -> JobBody:
        """The body of a job that was read; raises as `Jobs.get`."""
        found = self._at_once(view, form)
        if found is not None:
            return found
        return await self._reads.read(
            (_key(view.id, view.state, view.finished_at, form), caller),
            lambda: self.of_from_thread(view, caller, form),
        )

    def of_from_thread(self, view: JobView, caller: CallerId, form: Representation) -> JobBody:
        """As `of`, for threads."""
        found = self._at_once(view, form)
        if found is not None:
            return found
        with self._lock:
            found = self._find(view.id, view.state, view.finished_at, form)
            if found is not None:  # another thread has made it meanwhile
                return found
            job = view.job or self._jobs.get(view.id, caller)
            return self._dump(job, self._jobs.queue_position(job), form)

    def one_at_a_time(self, call: Callable[[], T]) -> T:
        """Do something else with a large job, on a thread."""
        with self._lock:
            return call()

    def _at_once(self, view: JobView, form: Representation) -> JobBody | None:
        """The body if it is kept, or soon made."""
        found = self._find(view.id, view.state, view.finished_at, form)
        if found is None and view.job is not None and len(view.job.requests) <= LARGE_CARS:
            found = self._dump(view.job, view.position, form)
        return found

    def _find(
        self, job_id: JobId, state: JobState, finished_at: float | None, form: Representation
    ) -> JobBody | None:
        if not state.is_terminal:
            return None
        kept = self._kept.get(_key(job_id, state, finished_at, form))
        if kept is None or any(self._identity(each) != kept.models[each] for each in kept.models):
            return None
        return kept.body

    def _dump(self, job: Job, position: QueuePosition | None, form: Representation) -> JobBody:
        has_ended = job.state.is_terminal
        # Before the body: a model that becomes known meanwhile has it made again.
        models = {each: self._identity(each) for each in _versions(job)} if has_ended else {}
        content = self._json(job, position, form)
        body = JobBody(
            job.state, job.done, job.attempts, job.cancel_requested, content, _etag(content)
        )
        if has_ended and len(content) >= KEPT_MIN_BYTES:
            key = _key(job.id, job.state, job.finished_at, form)
            self._kept.put(key, _Kept(body, models), len(content))
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


def _key(
    job_id: JobId, state: JobState, finished_at: float | None, form: Representation
) -> Hashable:
    """What the body of an ended job depends on; texts name limits that depend on the year."""
    return job_id, state, finished_at, form, time.gmtime().tm_year


def _versions(job: Job) -> set[str]:
    """The model versions that an ended job names."""
    estimates = job.estimates
    if isinstance(estimates, EstimateList):
        return {estimates.model_version}
    return {each.model_version for each in estimates}


def _not_modified(etag: str, if_none_match: str) -> HttpResponse | None:
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


def poll_response(body: JobBody, if_none_match: str) -> HttpResponse:
    """The response to a poll: 200, or 304 if the caller has this state."""
    again = [] if body.state.is_terminal else [("Retry-After", "1")]
    known = _not_modified(body.etag, if_none_match)
    if known is not None:
        return known._replace(headers=[*known.headers, *again])
    headers = [*POLL_HEADERS, ("ETag", body.etag), *again]
    return HttpResponse(int(HTTPStatus.OK), headers, body.json)


def waited_response(view: JobView, body: JobBody, waited_s: float) -> HttpResponse:
    """The response to a submission with `Prefer: wait`: 200 with an ended job, or 202."""
    headers = [("Content-Type", JSON), ("Preference-Applied", f"wait={waited_s:g}")]
    if body.state.is_terminal:
        headers.append(("Content-Location", f"/jobs/{view.id}"))
        return HttpResponse(int(HTTPStatus.OK), headers, body.json)
    headers += accepted_headers(view.id)
    return HttpResponse(int(HTTPStatus.ACCEPTED), headers, body.json)


def _etag(content: bytes) -> str:
    return quote_etag(hashlib.blake2b(content, digest_size=12).hexdigest(), weak=True)
