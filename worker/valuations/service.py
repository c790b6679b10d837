"""Values micro-batches of waiting requests and stored jobs: estimate, audit, cache, answer."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import TypeAlias

import msgpack
import redis

from shared.audit.log import AuditLog
from shared.domain.car import CarFeatures
from shared.domain.clock import Clock
from shared.domain.errors import AuditUnavailable, DomainError
from shared.domain.ids import CallerId, JobId, ValuationId
from shared.domain.job import Job, JobState
from shared.domain.valuation import AuditRecord, CarRequest, Estimate, Extra
from shared.metrics import QUEUE_WAIT
from shared.queue.names import QueueName
from shared.queue.sender import EstimateResult, push_reply
from shared.redis import keys
from shared.redis.cache import ValuationCache
from shared.redis.connections import (
    Command,
    ConnectionCache,
    PipelinedCommands,
    RedisClient,
    broker_errors,
)
from shared.redis.jobs import MAX_LEASE_S, JobStore
from worker.model import Estimation

DONE_TTL_S = 2 * MAX_LEASE_S
"""Time to live of a claim whose records are written: longer than any lease, after which its message
is sent again."""

UNFINISHED_TTL_S = 86_400
"""Time to live of a claim whose worker died before that: all workers may be down for long."""

CLAIM_TIMEOUT_S = 30
"""To value a message takes milliseconds: after this time its worker has died."""

# Hash of a claim: `first` and `latest`, when it was claimed, and `done`.
# KEYS: claim.  ARGV: now, seconds after which a claim is in doubt, time to live, claim it (1) or
# look only (0).  Returns the state, the time of the first claim and that of the latest one.
_CLAIM_SCRIPT = """
local first = redis.call('HGET', KEYS[1], 'first')
local latest = redis.call('HGET', KEYS[1], 'latest')
local state = 'fresh'
if first then
  local age = tonumber(ARGV[1]) - tonumber(latest)
  if redis.call('HEXISTS', KEYS[1], 'done') == 1 then state = 'done'
  elseif age >= 0 and age < tonumber(ARGV[2]) then state = 'busy'
  else state = 'doubtful' end
end
if ARGV[4] == '1' and (state == 'fresh' or state == 'doubtful') then
  redis.call('HSETNX', KEYS[1], 'first', ARGV[1])
  redis.call('HSET', KEYS[1], 'latest', ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return {state, first or ARGV[1], latest or ARGV[1]}
"""


class ClaimState(StrEnum):
    """State of the audit records of a message."""

    FRESH = "fresh"
    """No worker has started."""
    BUSY = "busy"
    """A worker is writing them."""
    DONE = "done"
    """They are in the log."""
    DOUBTFUL = "doubtful"
    """A worker started and died: they may be in the log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The state of a message when it was claimed, and the times of its claims (Unix time).

    Attributes:
        message_id: the message.
        state: before this claim.
        first_at: time of the first claim; now if there was none.
        latest_at: time of the latest claim before this one.
    """

    message_id: str
    state: ClaimState
    first_at: float
    latest_at: float

    @property
    def stale_at(self) -> float:
        """When a busy claim will count as that of a dead worker."""
        return self.latest_at + CLAIM_TIMEOUT_S


class RedisClaims:
    """Claims on messages, in the broker's Redis: one worker writes the audit records of each.

    Args:
        client: connection to the broker instance.
        clock: the time of day.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._claim_script = client.register_script(_CLAIM_SCRIPT)

    def begin(self, message_id: str) -> Claim:
        """Claim a message; if it was FRESH or DOUBTFUL, the caller has to write its records."""
        return self._found(message_id, claim=True)

    @contextmanager
    def begin_concurrently(self, message_id: str, now: float) -> Iterator[Callable[[], Claim]]:
        """Send a claim on entry; the returned function reads the response.

        Work that can be discarded may run in between.
        """
        with ExitStack() as stack:
            with broker_errors():
                asked = stack.enter_context(
                    PipelinedCommands(self._connections, self._claim_command(message_id, now))
                )
            yield lambda: self._read(message_id, asked)

    def peek(self, message_id: str) -> Claim:
        """Read the state of a message without claiming it."""
        return self._found(message_id, claim=False)

    def done(self, message_id: str) -> None:
        """Note that the records are in the log."""
        with (
            broker_errors(),
            PipelinedCommands(self._connections, *done_commands(message_id)) as sent,
        ):
            sent.responses()

    def _claim_command(self, message_id: str, now: float) -> Command:
        key = keys.audit_claim(message_id)
        return (
            "EVALSHA",
            self._claim_script.sha,
            1,
            key,
            now,
            CLAIM_TIMEOUT_S,
            UNFINISHED_TTL_S,
            1,
        )

    def _read(self, message_id: str, asked: PipelinedCommands) -> Claim:
        try:
            with broker_errors():
                (found,) = asked.responses()
        except redis.exceptions.NoScriptError:  # the broker has restarted: send the script
            return self.begin(message_id)
        return _to_claim(message_id, found)

    def _found(self, message_id: str, *, claim: bool) -> Claim:
        with broker_errors():
            found = self._claim_script(
                keys=[keys.audit_claim(message_id)],
                args=[self._clock(), CLAIM_TIMEOUT_S, UNFINISHED_TTL_S, int(claim)],
            )
        return _to_claim(message_id, found)


def done_commands(message_id: str) -> list[Command]:
    """Commands that note that the records of a message are in the log."""
    key = keys.audit_claim(message_id)
    return [("HSET", key, "done", 1), ("EXPIRE", key, DONE_TTL_S)]


def _to_claim(message_id: str, found: list[bytes]) -> Claim:
    state, first_at, latest_at = found
    return Claim(message_id, ClaimState(state.decode()), float(first_at), float(latest_at))


@dataclasses.dataclass(frozen=True, slots=True)
class WaitingRequest:
    """One request of a micro-batch, as received from the queue."""

    id: ValuationId
    request: CarRequest
    caller: CallerId
    deadline: float
    enqueued_at: float

    @classmethod
    def from_wire(cls, packed: bytes) -> "WaitingRequest":
        """Rebuild the request from what `MicroBatchDispatcher` sent."""
        valuation_id, request, caller, deadline, enqueued_at = msgpack.unpackb(packed)
        return cls(valuation_id, CarRequest.from_wire(request), caller, deadline, enqueued_at)


AnsweredRequest: TypeAlias = tuple[WaitingRequest, EstimateResult]


class ValuationService:
    """Carries out `valuation.value_cars`, `valuation.value_job` and `valuation.value_list`.

    The order is always: claim, estimate, audit, answer, so that every answer is recorded. A message
    may be delivered to two workers at once, or again after its worker died: the claim lets one of
    them write the records, and later ones answer without writing them.

    Args:
        estimation: calls the forest.
        audit: the audit log.
        claims: claims on messages.
        cache: result cache.
        jobs: the stored jobs.
        client: connection to the broker instance, for the replies.
        clock: the time of day.
        max_attempts: a job fails after this many attempts.
    """

    def __init__(
        self,
        *,
        estimation: Estimation,
        audit: AuditLog,
        claims: RedisClaims,
        cache: ValuationCache,
        jobs: JobStore,
        client: RedisClient,
        clock: Clock,
        max_attempts: int,
    ) -> None:
        self._estimation = estimation
        self._audit = audit
        self._claims = claims
        self._cache = cache
        self._jobs = jobs
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._max_attempts = max_attempts

    def value_group(self, group_id: str, reply_to: str, items: Sequence[bytes]) -> None:
        """Answer a micro-batch of waiting requests by one forest call and one reply.

        A request whose deadline had passed when the micro-batch was first claimed is left out: its
        caller waits no more, and it has become a job with a message of its own. That job finds out
        by the same comparison that it was left out here.

        Args:
            group_id: id of the micro-batch.
            reply_to: reply list of the API process.
            items: the requests, as `WaitingRequest.from_wire` reads them.
        """
        now = self._clock()
        with self._claims.begin_concurrently(group_id, now) as claimed:
            waiting = [WaitingRequest.from_wire(item) for item in items]
            _observe_wait(now, [item.enqueued_at for item in waiting])
            # The forest runs while the claim is sent.
            answered = self._answer(waiting, now)
            claim = claimed()
        if claim.state is ClaimState.BUSY:
            return
        if claim.state is not ClaimState.FRESH:  # compare the deadlines with that claim
            answered = self._answer(waiting, claim.first_at)
        commands = []
        try:
            self._record(claim, self._group_records(answered))
            commands = done_commands(group_id)
        except AuditUnavailable as error:
            answered = [(item, error) for item, _ in answered]
        # Cache first: a caller who has the answer and asks again finds it there.
        with self._cache.put_concurrently(
            _cacheable((item.request, result) for item, result in answered)
        ):
            replies = [(item.id, result) for item, result in answered]
            push_reply(self._connections, reply_to, group_id, replies, commands)

    def _answer(
        self, waiting: Sequence[WaitingRequest], claimed_at: float
    ) -> list[AnsweredRequest]:
        """Estimate the requests whose deadline was not over at `claimed_at`."""
        wanted = [item for item in waiting if item.deadline >= claimed_at]
        results = self._estimation.estimate([item.request for item in wanted])
        return list(zip(wanted, results, strict=True))

    def value_job(
        self, job_id: JobId, enqueued_at: float, queue: QueueName = QueueName.INTERACTIVE
    ) -> None:
        """Carry out a stored job; does nothing if it has ended or is gone.

        Args:
            job_id: the job.
            enqueued_at: Unix time at which the message was sent.
            queue: the queue of the message.
        """
        job = self._jobs.load(job_id)
        if job is None or job.state.is_terminal:
            return
        _observe_wait(self._clock(), [enqueued_at], queue)
        if job.cancel_requested:
            self._jobs.finish(job_id, JobState.CANCELLED)
        elif job.attempts >= self._max_attempts:
            self._jobs.finish(job_id, JobState.FAILED, error="attempts-exhausted")
        elif (claim := self._claim(job)).state is ClaimState.BUSY:
            # Its worker either ends it or is dead; this is not counted as an attempt.
            self._jobs.postpone(job_id, claim.stale_at)
        elif self._jobs.start(job_id) is JobState.RUNNING:
            self._carry_out(job, claim)

    def _claim(self, job: Job) -> Claim:
        """Claim a job, or use the claim of the micro-batch that has valued its car."""
        if job.origin is None:
            return _with_doubt(job, self._claims.begin(job.id))
        group = self._claims.peek(job.origin.group_id)
        was_left_out = group.state is ClaimState.FRESH or job.origin.deadline < group.first_at
        if not was_left_out and group.state is not ClaimState.DOUBTFUL:
            return group
        claim = _with_doubt(job, self._claims.begin(job.id))
        if was_left_out or claim.state is not ClaimState.FRESH:
            return claim
        return dataclasses.replace(claim, state=ClaimState.DOUBTFUL)

    def _carry_out(self, job: Job, claim: Claim) -> None:
        results = self._estimation.estimate(job.requests)
        if self._jobs.is_cancel_requested(job.id):
            self._jobs.finish(job.id, JobState.CANCELLED)
            return
        failure = next((o for o in results if isinstance(o, DomainError)), None)
        try:
            self._record(claim, self._job_records(job, results))
            self._claims.done(claim.message_id)
        except AuditUnavailable as error:
            failure = error
        if failure is not None:
            self._jobs.finish(job.id, JobState.FAILED, error=failure.code)
            return
        self._cache.put(_cacheable(zip(job.requests, results, strict=True)))
        self._jobs.finish(job.id, JobState.SUCCEEDED, _estimates(results))

    # Audit

    def _record(self, claim: Claim, records: list[AuditRecord]) -> None:
        """Append the records that the log does not have yet."""
        if claim.state is ClaimState.DONE:
            return
        if claim.state is ClaimState.DOUBTFUL:
            known = self._audit.recorded([record.id for record in records])
            records = [record for record in records if record.id not in known]
        if records:
            self._audit.append(records)

    def _group_records(self, answered: Sequence[AnsweredRequest]) -> list[AuditRecord]:
        now = self._clock()
        return [
            _audit_record(
                item.id,
                at=now,
                caller=item.caller,
                request=item.request,
                result=result,
                since=item.enqueued_at,
            )
            for item, result in answered
        ]

    def _job_records(self, job: Job, results: Sequence[EstimateResult]) -> list[AuditRecord]:
        now = self._clock()
        ids = [f"{job.id}-{number}" for number in range(1, len(results) + 1)]
        return [
            _audit_record(
                ValuationId(each_id if job.is_list else job.id),
                at=now,
                caller=job.caller,
                request=request,
                result=result,
                since=job.created_at,
                job_id=job.id,
            )
            for each_id, request, result in zip(ids, job.requests, results, strict=True)
        ]


def _with_doubt(job: Job, claim: Claim) -> Claim:
    """The claim of a job, DOUBTFUL if the job has attempts and its earlier claim has expired."""
    if claim.state is ClaimState.FRESH and job.attempts:
        return dataclasses.replace(claim, state=ClaimState.DOUBTFUL)
    return claim


def _audit_record(
    valuation_id: ValuationId,
    *,
    at: float,
    caller: CallerId,
    request: CarRequest,
    result: EstimateResult,
    since: float,
    job_id: JobId | None = None,
) -> AuditRecord:
    return AuditRecord(
        id=valuation_id,
        at=at,
        caller=caller,
        car=request.car,
        estimate=result if isinstance(result, Estimate) else None,
        error=result.code if isinstance(result, DomainError) else None,
        cached=False,
        response_time_ms=1000 * (at - since),
        job_id=job_id,
    )


def _cacheable(
    answered: Iterable[tuple[CarRequest, EstimateResult]],
) -> list[tuple[CarFeatures, Sequence[Extra], Estimate]]:
    return [
        (request.car, request.extras, result)
        for request, result in answered
        if isinstance(result, Estimate)
    ]


def _estimates(results: Sequence[EstimateResult]) -> list[Estimate]:
    return [result for result in results if isinstance(result, Estimate)]


def _observe_wait(
    now: float, enqueued_at: Sequence[float], queue: QueueName = QueueName.INTERACTIVE
) -> None:
    histogram = QUEUE_WAIT.labels(queue=str(queue))
    for at in enqueued_at:
        histogram.observe(max(0.0, now - at))
