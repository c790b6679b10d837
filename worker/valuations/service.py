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
"""How long a message whose records are in the log is remembered: whoever sends it again does so
when a lease has run out."""

UNFINISHED_TTL_S = 86_400
"""How long one is remembered whose worker died before that: there are few, and all workers may be
away for long."""

CLAIM_TIMEOUT_S = 30
"""Valuing a message takes milliseconds: after this time, whoever claimed it has died."""

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
    """What is known of the records of a message."""

    FRESH = "fresh"
    """Nobody has begun."""
    BUSY = "busy"
    """Somebody is at it now."""
    DONE = "done"
    """They are in the log."""
    DOUBTFUL = "doubtful"
    """Somebody began and died: they may be in the log."""


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The state in which a message was found, and when it had been claimed (Unix times).

    Attributes:
        message_id: the message.
        state: how it was found.
        first_at: when it was claimed first; now if it never was.
        latest_at: when it was claimed last before this look.
    """

    message_id: str
    state: ClaimState
    first_at: float
    latest_at: float

    @property
    def stale_at(self) -> float:
        """When a claim that is busy now will be taken for one whose worker has died."""
        return self.latest_at + CLAIM_TIMEOUT_S


class RedisClaims:
    """Claims on messages, in the broker's Redis.

    Args:
        client: connection to the broker instance.
        clock: the time of day.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._claim_script = client.register_script(_CLAIM_SCRIPT)

    def begin(self, message_id: str) -> Claim:
        """Claim a message; found FRESH or DOUBTFUL, its records are the caller's to write."""
        return self._found(message_id, claim=True)

    @contextmanager
    def begin_concurrently(self, message_id: str, now: float) -> Iterator[Callable[[], Claim]]:
        """Claim a message and work on it meanwhile: entering sends, the function reads.

        Nothing that cannot be taken back may happen before the claim is read.
        """
        with ExitStack() as stack:
            with broker_errors():
                asked = stack.enter_context(
                    PipelinedCommands(self._connections, self._claim_command(message_id, now))
                )
            yield lambda: self._read(message_id, asked)

    def peek(self, message_id: str) -> Claim:
        """Look at a message without claiming it."""
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
        except redis.exceptions.NoScriptError:  # the broker is new: it is told the script
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
    """What notes that the records of a message are in the log."""
    key = keys.audit_claim(message_id)
    return [("HSET", key, "done", 1), ("EXPIRE", key, DONE_TTL_S)]


def _to_claim(message_id: str, found: list[bytes]) -> Claim:
    state, first_at, latest_at = found
    return Claim(message_id, ClaimState(state.decode()), float(first_at), float(latest_at))


@dataclasses.dataclass(frozen=True, slots=True)
class WaitingRequest:
    """One request of a group, as it came off the queue."""

    id: ValuationId
    request: CarRequest
    caller: CallerId
    deadline: float
    enqueued_at: float

    @classmethod
    def from_wire(cls, packed: bytes) -> "WaitingRequest":
        """Rebuild the request from what `MicroBatchDispatcher.submit` sent."""
        valuation_id, request, caller, deadline, enqueued_at = msgpack.unpackb(packed)
        return cls(valuation_id, CarRequest.from_wire(request), caller, deadline, enqueued_at)


AnsweredRequest: TypeAlias = tuple[WaitingRequest, EstimateResult]


class ValuationService:
    """Carries out `valuation.value_cars`, `valuation.value_job` and `valuation.value_list`.

    The order is always: claim, estimate, audit, then answer; so that no answer goes unrecorded.
    A message may come twice, to two workers at once, or again after its worker died: the claim
    lets one of them write the records, and whoever comes later answers without writing them.

    Args:
        estimation: asks the forest.
        audit: where every answer is recorded first.
        claims: who records a message's answers.
        cache: result cache.
        jobs: the stored jobs.
        client: connection to the broker instance, for the replies.
        clock: the time of day.
        max_attempts: a job that was tried this often fails.
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
        """Answer a group of waiting requests with one forest call and one reply.

        A request that was past its deadline when the group was first claimed is left out: its
        caller waits no more, and what became of it is a job with a message of its own, which
        sees by the same comparison that the group has left it out.

        Args:
            group_id: names the group in the reply.
            reply_to: list on which the API process waits.
            items: the requests, as `WaitingRequest.from_wire` reads them.
        """
        now = self._clock()
        with self._claims.begin_concurrently(group_id, now) as claimed:
            waiting = [WaitingRequest.from_wire(item) for item in items]
            _observe_wait(now, [item.enqueued_at for item in waiting])
            # The forest works while the claim is under way.
            answered = self._answer(waiting, now)
            claim = claimed()
        if claim.state is ClaimState.BUSY:
            return
        if claim.state is not ClaimState.FRESH:  # deadlines were compared with another time
            answered = self._answer(waiting, claim.first_at)
        commands = []
        try:
            self._record(claim, self._group_records(answered))
            commands = done_commands(group_id)
        except AuditUnavailable as error:
            answered = [(item, error) for item, _ in answered]
        # First the cache: whoever has an answer and asks again finds it there.
        with self._cache.put_concurrently(
            _cacheable((item.request, result) for item, result in answered)
        ):
            replies = [(item.id, result) for item, result in answered]
            push_reply(self._connections, reply_to, group_id, replies, commands)

    def _answer(
        self, waiting: Sequence[WaitingRequest], claimed_at: float
    ) -> list[AnsweredRequest]:
        """Ask the forest for those who waited still when the group was claimed."""
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
            queue: on which it travelled.
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
            # Whoever has it either ends it or is dead; to find it taken is no attempt.
            self._jobs.postpone(job_id, claim.stale_at)
        elif self._jobs.start(job_id) is JobState.RUNNING:
            self._carry_out(job, claim)

    def _claim(self, job: Job) -> Claim:
        """Claim a job; one whose car was valued in a group is recorded where the group was."""
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
    """The claim on a job; where one was forgotten although work has begun, the log must tell."""
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
