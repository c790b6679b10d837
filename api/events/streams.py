"""States of jobs and batches as server-sent events, for the API and the page."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import orjson
from flask import Response, request, stream_with_context

from api.batches.schemas import dump_batch
from api.events.subscriptions import StateSnapshot
from api.http.context import caller_id, services
from api.jobs.schemas import dump_job
from api.middleware.authentication import Scope, scope_rechecker
from shared.domain.errors import DomainError
from shared.domain.ids import BatchId, JobId
from shared.domain.job import JobState
from shared.domain.valuation import DEFAULT_COVERAGE

EVENT_STREAM = "text/event-stream"
RETRY_MS = 2000
"""After a break, clients come back that soon."""

Poll: TypeAlias = Callable[[], StateSnapshot[dict[str, Any]]]


def job_event_stream(job_id: str) -> Response:
    """The states of a job of this caller."""
    jobs, caller = services().jobs, caller_id()

    def poll() -> StateSnapshot[dict[str, Any]]:
        job = jobs.get(JobId(job_id), caller)
        body = dump_job(job, jobs.place(job), DEFAULT_COVERAGE)
        return _snapshot(body, job.state, job.done, job.attempts, job.cancel_requested)

    return _stream(job_id, poll, scope_rechecker(Scope.PREDICT))


def batch_event_stream(batch_id: str) -> Response:
    """The states of a batch of this caller."""
    batches, caller = services().batches, caller_id()

    def poll() -> StateSnapshot[dict[str, Any]]:
        batch = batches.get(BatchId(batch_id), caller)
        progress = batch.progress
        return _snapshot(
            dump_batch(batch, time.time()),
            progress.state,
            progress.counts.done,
            progress.cancel_requested,
        )

    return _stream(batch_id, poll, scope_rechecker(Scope.BULK))


def _snapshot(
    body: dict[str, Any], state: JobState, *id_parts: int
) -> StateSnapshot[dict[str, Any]]:
    event_id = ".".join([str(state), *(str(int(each)) for each in id_parts)])
    return StateSnapshot(body, event_id, state.is_terminal)


def _stream(job_id: str, read: Poll, check: Callable[[], None]) -> Response:
    """A stream of what `read` finds, for as long as `check` lets the caller pass."""

    def poll() -> StateSnapshot[dict[str, Any]]:
        check()
        return read()

    last_event_id = request.headers.get("Last-Event-ID")
    first = poll()  # a job that is not there is told by a status
    if first.is_last and first.event_id == last_event_id:
        return Response(status=204)
    release = services().state_streams.acquire()
    response = Response(
        stream_with_context(_events(job_id, poll, last_event_id)), mimetype=EVENT_STREAM
    )
    response.call_on_close(release)
    response.headers["Cache-Control"] = "private, no-store"
    # Proxies that collect answers would hold back every event.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _events(job_id: str, poll: Poll, last_event_id: str | None) -> Iterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        for snapshot in services().state_streams.follow(job_id, poll, last_event_id):
            yield b":\n\n" if snapshot is None else _event(snapshot)
    except DomainError:
        # The client comes back by itself, and is told then what is wrong, if it still is.
        return


def _event(snapshot: StateSnapshot[dict[str, Any]]) -> bytes:
    name = b"end" if snapshot.is_last else b"progress"
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        snapshot.event_id.encode(),
        name,
        orjson.dumps(snapshot.state),
    )
