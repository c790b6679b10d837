"""Stores new jobs, many by one round trip, and puts their messages on the queue with it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

import msgpack
import redis

from shared.blobs.job_payloads import JobPayloads
from shared.domain.clock import Clock
from shared.domain.errors import (
    AcceptanceUnknown,
    BrokerFull,
    BrokerUnavailable,
    DomainError,
    JobStorageFull,
    StorageUnavailable,
)
from shared.domain.ids import JobId
from shared.domain.job import TOMBSTONE_TTL_FACTOR, Job
from shared.domain.lists.requests import RequestList
from shared.logging import get_logger
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store import scripts
from shared.redis.job_store.accepted import AcceptedJobs, create_call
from shared.redis.job_store.memory import BrokerMemory
from shared.redis.job_store.records import (
    BLOB_PROTOCOL,
    BLOB_SCHEMA,
    COLUMNS_PROTOCOL,
    COLUMNS_SCHEMA,
    INLINE_MAX_BYTES,
    MESSAGE_BYTES,
    RECORD_BYTES,
    max_result_bytes,
    pack_requests,
    to_hash,
)
from shared.redis.pipelines import Command, PipelinedCommands, ScriptCall
from shared.redis.webhooks.records import callback_bytes

log = get_logger("jobs")

CIRCUIT_OPEN_S = 1.0
"""After a time-out of the broker, jobs are refused at once for this time."""


CREATE_BLOCK = 256
"""Jobs that one script call stores, at most; a call of the script occupies the broker."""


class Created(StrEnum):
    """What became of a new job that raised no error."""

    STORED = "stored"
    """It will be carried out: it is queued, or the sweep queues it (`JobCreation.create_all`)."""
    EXISTS = "exists"
    """A job with this id was stored before."""


class KeyEntry(NamedTuple):
    """The Idempotency-Key under which a job is submitted, as it is stored.

    Attributes:
        name: key in Redis.
        content: what later requests with the Idempotency-Key find there.
        ttl_s: how long they find it, seconds.
    """

    name: str
    content: str
    ttl_s: int


class KeyTaken(NamedTuple):
    """A job was not stored: an earlier request has the Idempotency-Key.

    Attributes:
        content: the entry of that request.
    """

    content: bytes


CreateOutcome: TypeAlias = Created | KeyTaken | DomainError


class QueueCall(NamedTuple):
    """A call that puts messages on the queue, or reads what is wanted of new jobs.

    Attributes:
        call: the command or script.
        job_ids: the jobs that its messages name; empty if it only reads.
        on_response: called with the response, unless that is an error.
    """

    call: ScriptCall | Command
    job_ids: Sequence[JobId] = ()
    on_response: Callable[[Any], None] | None = None


QueueJobs: TypeAlias = Callable[[Sequence[Job]], Sequence[QueueCall]]
"""The calls that put jobs on the queue, as `WorkSender.calls_of`."""


class _NewJob(NamedTuple):
    job: Job
    blob: str
    """Name of the blob with its requests; "" if they are in Redis."""
    record: list[Any]
    """As the script takes it."""


class JobCreation:
    """Stores new jobs as open, with a lease.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
        retention_s: how long an ended job can be read.
        lease_s: an open job counts as overdue after this time without a state change.
        payloads: the blob store of jobs; None: everything stays in Redis.
        protocol: `WorkerRegistry.protocol`; decides whether new jobs use the blob store.
        memory: refuses new jobs while Redis lacks memory; None: Redis alone refuses.
        accepted: waits for replicas and keeps new jobs; None: no replica is waited for.
    """

    def __init__(
        self,
        client: RedisClient,
        clock: Clock,
        *,
        retention_s: int,
        lease_s: int,
        payloads: JobPayloads | None,
        protocol: Callable[[], int],
        memory: BrokerMemory | None,
        accepted: AcceptedJobs | None = None,
    ) -> None:
        self._accepted = accepted
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._keep_s = retention_s * TOMBSTONE_TTL_FACTOR
        self._lease_s = lease_s
        self._payloads = payloads
        self._protocol = protocol
        self._memory = memory
        self._circuit_open_until = 0.0
        self._script = client.register_script(scripts.CREATE)

    def create_all(
        self,
        jobs: Sequence[Job],
        queue: QueueJobs | None = None,
        entries: Mapping[JobId, KeyEntry] | None = None,
    ) -> list[CreateOutcome]:
        """Store jobs, and queue them if asked, by one round trip; what became of each.

        A job that is stored is accepted, also if the broker refuses its message: then the sweep
        queues it when its lease ends. A message may name a job that was not stored, which its
        worker ignores.

        Args:
            jobs: jobs with different ids.
            queue: makes the calls that queue those of the jobs that are not refused here.
            entries: Idempotency-Keys, by the jobs that are submitted under one.

        Raises:
            AcceptanceUnknown: the broker broke off; any of them may be stored.
            BrokerUnavailable: the broker does not answer; none of them is stored.
        """
        outcomes: list[CreateOutcome] = []
        for start in range(0, len(jobs), CREATE_BLOCK):
            block = jobs[start : start + CREATE_BLOCK]
            try:
                outcomes += self._create_block(block, queue, entries or {})
            except BrokerUnavailable as error:
                if not outcomes:
                    raise
                outcomes += [error] * len(block)
        return outcomes

    def _create_block(
        self, jobs: Sequence[Job], queue: QueueJobs | None, entries: Mapping[JobId, KeyEntry]
    ) -> list[CreateOutcome]:
        outcomes: dict[JobId, CreateOutcome] = {}
        new: list[_NewJob] = []
        with self._circuit_breaker():
            for job in jobs:
                try:
                    new.append(self._prepare(job, entries.get(job.id)))
                except (BrokerFull, StorageUnavailable) as error:
                    outcomes[job.id] = error
            calls = list(queue([each.job for each in new])) if queue and new else []
            if new:
                outcomes |= self._run(new, calls)
        return [outcomes[job.id] for job in jobs]

    def _run(self, new: Sequence[_NewJob], calls: Sequence[QueueCall]) -> dict[JobId, Any]:
        """Run the script and the calls of the queue."""
        wait = [] if self._accepted is None else [self._accepted.wait]
        commands = [self._script_call(new), *(each.call for each in calls), *wait]
        stored, *queued = self._send(commands)
        reached = queued.pop() if wait else None
        if isinstance(stored, redis.ResponseError):
            stored = [_error_of(stored)] * len(new)
        outcomes = {
            each.job.id: _outcome_of(found) for each, found in zip(new, stored, strict=True)
        }
        for each in new:
            if each.blob and outcomes[each.job.id] is not Created.STORED:
                self._remove_blob(each)
        for call, response in zip(calls, queued, strict=True):
            if isinstance(response, redis.ResponseError):
                stored_ids = [each for each in call.job_ids if outcomes[each] is Created.STORED]
                if stored_ids:
                    log.warning("jobs_not_queued", count=len(stored_ids), error=str(response))
            elif call.on_response is not None:
                call.on_response(response)
        if self._accepted is not None:
            self._confirm(self._accepted, new, outcomes, reached)
        return outcomes

    def _send(self, commands: Sequence[ScriptCall | Command]) -> list[Any]:
        """Run commands by one round trip; raises `AcceptanceUnknown` if it breaks off."""
        sent = PipelinedCommands(self._connections, *commands)
        try:
            with broker_errors(), sent:
                return sent.outcomes()
        except BrokerUnavailable as error:
            if sent.is_sent:
                raise AcceptanceUnknown(**error.params) from error.__cause__
            raise

    def _confirm(
        self,
        accepted: AcceptedJobs,
        new: Sequence[_NewJob],
        outcomes: dict[JobId, CreateOutcome],
        reached: Any,
    ) -> None:
        """Keep the stored jobs; an error is the outcome of all if too few replicas have them.

        That of a job that was stored before as well: a replica that lacks it may become primary.
        """
        accepted.keep(
            {each.job.id: each.record for each in new if outcomes[each.job.id] is Created.STORED}
        )
        try:
            accepted.confirm(reached)
        except BrokerUnavailable as error:
            unknown = AcceptanceUnknown(**error.params)
            for job_id, outcome in outcomes.items():
                if not isinstance(outcome, DomainError):
                    outcomes[job_id] = unknown

    def _prepare(self, job: Job, entry: KeyEntry | None) -> _NewJob:
        """Admit a job and write its payload."""
        is_columns = isinstance(job.requests, RequestList) and (
            self._protocol() >= COLUMNS_PROTOCOL
        )
        packed = pack_requests(job.requests, as_columns=is_columns)
        need = max_result_bytes(job.requests)
        blobs = self._payloads if len(packed) + need > INLINE_MAX_BYTES else None
        if blobs is not None and self._protocol() < BLOB_PROTOCOL:
            blobs = None
        limit = self._admit(job, packed, need, is_in_blobs=blobs is not None)
        fields, blob = to_hash(job), ""
        if blobs is not None:
            need = min(need, INLINE_MAX_BYTES)
            fields["blobs"] = 1
            if len(packed) > INLINE_MAX_BYTES:
                blob = blobs.write(job.id, "requests", packed)
                fields |= {"requests_blob": blob, "schema": BLOB_SCHEMA}
        if not blob:
            fields["requests"] = packed
        if is_columns:
            fields["schema"] = COLUMNS_SCHEMA
        in_memory, in_blobs = (0, len(packed)) if blob else (len(packed), 0)
        pairs = [part for name, value in fields.items() for part in (name, _text(value))]
        record_bytes = RECORD_BYTES + callback_bytes(job.callback)
        usage = [record_bytes + in_memory, in_blobs, MESSAGE_BYTES + need]
        record = [job.id, job.caller, repr(job.created_at), limit, *usage, pairs]
        return _NewJob(job, blob, [*record, entry or False])

    def _admit(self, job: Job, packed: bytes, need: int, *, is_in_blobs: bool) -> int:
        """Raise `BrokerFull` if there is no room; return the limit of the caller, 0 for none.

        The request of a caller who stopped waiting was admitted when it was sent.
        """
        if self._memory is None or job.origin is not None:
            return 0
        payload = min(len(packed) + need, INLINE_MAX_BYTES) if is_in_blobs else len(packed) + need
        record_bytes = RECORD_BYTES + callback_bytes(job.callback)
        self._memory.check(record_bytes + MESSAGE_BYTES + payload)
        return self._memory.caller_limit

    def _script_call(self, new: Sequence[_NewJob]) -> ScriptCall:
        return create_call(
            self._script,
            msgpack.packb([each.record for each in new], use_bin_type=False),
            now=self._clock(),
            lease_s=self._lease_s,
            keep_s=self._keep_s,
        )

    def _remove_blob(self, new: _NewJob) -> None:
        """Delete the payload of a job that was not stored."""
        if self._payloads is not None:
            with suppress(StorageUnavailable):  # the sweep deletes it
                self._payloads.remove(new.job.id, [new.blob])

    @contextmanager
    def _circuit_breaker(self) -> Iterator[None]:
        """Raise `BrokerUnavailable` at once for `CIRCUIT_OPEN_S` after a time-out.

        When requests of `/predict` time out, each becomes a job. There are more of them than
        threads, so their time-outs would add up.
        """
        if time.monotonic() < self._circuit_open_until:
            raise BrokerUnavailable(reason="silent a moment ago")
        try:
            yield
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, redis.TimeoutError):
                self._circuit_open_until = time.monotonic() + CIRCUIT_OPEN_S
            raise


def _outcome_of(found: int | bytes | DomainError) -> CreateOutcome:
    if isinstance(found, DomainError):
        return found
    if isinstance(found, bytes):
        return KeyTaken(found)
    return {1: Created.STORED, 0: Created.EXISTS}.get(found) or JobStorageFull()


def _error_of(response: redis.ResponseError) -> DomainError:
    """The domain error for what the server reported about one call."""
    try:
        with broker_errors():
            raise response
    except DomainError as error:
        return error
    except redis.ResponseError as error:
        log.exception("broker_error", error=str(error))
        return BrokerUnavailable(reason=str(error))


def _text(value: Any) -> str | bytes:
    """A value as Redis stores it: the script's numbers would lose digits."""
    return value if isinstance(value, str | bytes) else repr(value)
