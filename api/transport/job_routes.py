"""`POST /jobs` and `GET /jobs/{id}` on the event loop."""

from contextlib import suppress
from functools import partial

from api.container import ApiServices
from api.http.requests import WaitQuery, parse_query, preferred_wait_s
from api.http.responses import HttpResponse
from api.jobs.bodies import load_submission
from api.jobs.content import (
    Representation,
    poll_response,
    waited_response,
)
from api.jobs.schemas import SubmissionQuery, accepted_response
from api.jobs.service import AcceptedJob, Submission
from api.middleware.authentication import Scope
from api.transport.bodies import BodyReader
from api.transport.loop_requests import LoopRequest, LoopRequests
from api.transport.wsgi_bridge import Send
from shared.domain.errors import DomainError
from shared.domain.ids import JobId
from shared.domain.job import Callback
from shared.redis.rate_limits import RateState


class JobRoutes:
    """Answers submissions and polls of jobs, as the views in `api.jobs.views` do.

    Args:
        services: store and read jobs.
        requests: apply the limits of keys.
        bodies: reads bodies.
    """

    def __init__(self, services: ApiServices, requests: LoopRequests, bodies: BodyReader) -> None:
        self._services = services
        self._requests = requests
        self._bodies = bodies

    async def submit(self, request: LoopRequest, _: Send) -> HttpResponse:
        """Store and queue a job; see `api.jobs.views.submit`."""
        body = await self._bodies.read(request.receive, request.length)
        await self._requests.admit(request)
        query = parse_query(request.query_string, SubmissionQuery)
        callback = await self._callback(query["callback_url"], query["coverage"], request)
        key = request.headers.get(b"idempotency-key")
        submission = load_submission(
            body,
            request.length,
            request.query_string,
            query["include"],
            None if key is None else key.decode("latin-1"),
            max_cars=self._services.settings.job_max_cars,
            callback=callback,
        )
        job, position = await self._submit(submission, request)
        form = Representation(query["coverage"], request.language)
        wait_s = preferred_wait_s(request.header(b"prefer"))
        if wait_s is not None:
            with suppress(DomainError):  # it is accepted, whatever ends the wait
                return await self._wait(job.id, wait_s, form, request)
        identity = self._services.active_model.identity
        return accepted_response(job, position, form.coverage, identity, form.language)

    async def poll(self, request: LoopRequest, _: Send) -> HttpResponse:
        """Read a job, or wait for its end; see `api.jobs.views.read`."""
        await self._requests.admit(request)
        query = parse_query(request.query_string, WaitQuery)
        job_id = JobId(request.path.rpartition("/")[2])
        client = self._requests.client(request, Scope.PREDICT)
        view = await self._services.jobs.wait(job_id, request.caller_id, query["wait"], client)
        form = Representation(query["coverage"], request.language)
        body = await self._services.job_contents.of(view, request.caller_id, form)
        return poll_response(body, request.header(b"if-none-match"))

    async def _callback(
        self, url: str | None, coverage: float, request: LoopRequest
    ) -> Callback | None:
        """The callback that a request asks for; see `Callbacks.accept`."""
        if url is None:
            return None
        key_id, lang = request.caller.key_id, request.language
        return await self._services.loops.run_in_thread(  # it may ask the broker
            lambda: self._services.callbacks.accept(url, key_id, lang, coverage)
        )

    async def _submit(self, submission: Submission, request: LoopRequest) -> AcceptedJob:
        """Submit a job with others, or by itself if the key has limits that refuse jobs."""
        jobs, caller = self._services.jobs, request.caller
        limits = caller.limits
        if not caller.key_id or not limits.has_job_limit:
            return await jobs.submit_soon(submission, request.caller_id)
        admission = self._services.submission_limits.of(caller, partial(_note_state, request))
        return await self._services.loops.run_in_thread(
            lambda: jobs.submit(submission, request.caller_id, admission)
        )

    async def _wait(
        self, job_id: JobId, wait_s: float, form: Representation, request: LoopRequest
    ) -> HttpResponse:
        waited_s = min(wait_s, self._services.settings.max_wait_s)
        client = self._requests.client(request, Scope.PREDICT)
        view = await self._services.jobs.wait(job_id, request.caller_id, waited_s, client)
        body = await self._services.job_contents.of(view, request.caller_id, form)
        return waited_response(view, body, waited_s)


def _note_state(request: LoopRequest, state: RateState) -> None:
    if request.limited is not None:
        request.limited.state = state
