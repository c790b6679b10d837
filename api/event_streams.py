"""States of jobs and batches as server-sent events, for the API and the page."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import orjson
from flask import Response, request, stream_with_context

from api.auth import Scope, lasting_check
from api.current import caller_id, services
from api.schemas.batches import dump_batch
from api.schemas.jobs import dump_job
from api.services.watching import Sight
from shared.domain.errors import DomainError
from shared.domain.ids import BatchId, JobId
from shared.domain.job import JobState
from shared.domain.valuation import DEFAULT_COVERAGE

EVENT_STREAM = "text/event-stream"
RETRY_MS = 2000
"""After a break, clients come back that soon."""

Look: TypeAlias = Callable[[], Sight[dict[str, Any]]]


def job_event_stream(job_id: str) -> Response:
    """The states of a job of this caller."""
    jobs, caller = services().jobs, caller_id()

    def look() -> Sight[dict[str, Any]]:
        job = jobs.get(JobId(job_id), caller)
        body = dump_job(job, jobs.place(job), DEFAULT_COVERAGE)
        return _sight(body, job.state, job.done, job.attempts, job.cancel_requested)

    return _stream(job_id, look, lasting_check(Scope.PREDICT))


def batch_event_stream(batch_id: str) -> Response:
    """The states of a batch of this caller."""
    batches, caller = services().batches, caller_id()

    def look() -> Sight[dict[str, Any]]:
        batch = batches.get(BatchId(batch_id), caller)
        progress = batch.progress
        return _sight(
            dump_batch(batch, time.time()),
            progress.state,
            progress.counts.done,
            progress.cancel_requested,
        )

    return _stream(batch_id, look, lasting_check(Scope.BULK))


def _sight(body: dict[str, Any], state: JobState, *marks: int) -> Sight[dict[str, Any]]:
    mark = ".".join([str(state), *(str(int(each)) for each in marks)])
    return Sight(body, mark, state.is_terminal)


def _stream(job_id: str, read: Look, check: Callable[[], None]) -> Response:
    """A stream of what `read` finds, for as long as `check` lets the caller pass."""

    def look() -> Sight[dict[str, Any]]:
        check()
        return read()

    known = request.headers.get("Last-Event-ID")
    first = look()  # a job that is not there is told by a status
    if first.is_last and first.mark == known:
        return Response(status=204)
    give_back = services().watching.take()
    response = Response(stream_with_context(_events(job_id, look, known)), mimetype=EVENT_STREAM)
    response.call_on_close(give_back)
    response.headers["Cache-Control"] = "private, no-store"
    # Proxies that collect answers would hold back every event.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _events(job_id: str, look: Look, known: str | None) -> Iterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    try:
        for sight in services().watching.follow(job_id, look, known):
            yield b":\n\n" if sight is None else _event(sight)
    except DomainError:
        # The client comes back by itself, and is told then what is wrong, if it still is.
        return


def _event(sight: Sight[dict[str, Any]]) -> bytes:
    name = b"end" if sight.is_last else b"progress"
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        sight.mark.encode(),
        name,
        orjson.dumps(sight.state),
    )
