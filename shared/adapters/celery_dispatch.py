"""Group commit through Celery: one message, one forest call and one reply for many requests.

Waiting requests gather in memory. A publisher thread takes whatever is there and sends it as one
message, as soon as a slot is free; there is no timer. Alone, a request leaves at once; under load,
groups fill while earlier ones are under way. Replies come back on a list that this process owns.
"""

import dataclasses
import threading
import time
from collections import deque
from typing import Any

import msgpack
import redis

from shared.adapters import redis_keys
from shared.adapters.celery_sender import TaskSender
from shared.adapters.redis_client import RedisClient, broker_errors
from shared.domain import errors
from shared.domain.errors import BrokerUnavailable, DomainError, QueueFull, ValuationFailed
from shared.domain.ids import CallerId, JobId, ValuationId, new_id
from shared.domain.job import CarRequest, JobState
from shared.domain.valuation import Estimate
from shared.logging import get_logger
from shared.metrics import DISPATCH_GROUP, DISPATCH_LATE_REPLIES
from shared.names import TaskName
from shared.ports import JobStore

REPLY_LIST_TTL_S = 60
"""A reply list whose process is gone disappears after this time."""

POLL_S = 0.5
"""How long the reader blocks; the bound on noticing a stop or a lost group."""

LOST_GROUP_GRACE_S = 2.0
"""A group without a reply this long after its last deadline gives its slot back."""

PENDING_LIMIT = 5000
"""Requests that may wait in one process."""

log = get_logger("dispatch")


class Pending:
    """One waiting request: `shared.ports.PendingEstimate`."""

    __slots__ = ("_abandoned", "_done", "_lock", "_outcome", "expires_at", "group_id", "id", "wire")

    def __init__(self, valuation_id: ValuationId, wire: list[Any], expires_at: float) -> None:
        self.id = valuation_id
        self.wire = wire
        self.expires_at = expires_at
        self.group_id = ""
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._outcome: Estimate | DomainError | None = None
        self._abandoned = False

    def wait(self, timeout_s: float) -> Estimate | None:
        """The estimate, or None if it did not come in time; raises what the worker reported."""
        self._done.wait(max(0.0, timeout_s))
        return self._result()

    def abandon(self) -> Estimate | None:
        """Stop waiting; the estimate if it has just come."""
        with self._lock:
            self._abandoned = True
        return self._result()

    def resolve(self, outcome: Estimate | DomainError) -> bool:
        """Hand over the outcome; False if nobody waits any more."""
        with self._lock:
            if self._abandoned:
                return False
            self._outcome = outcome
        self._done.set()
        return True

    def _result(self) -> Estimate | None:
        outcome = self._outcome
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome


@dataclasses.dataclass(slots=True)
class Group:
    """Requests that travel together."""

    id: str
    pendings: dict[str, Pending]
    expires_at: float
    """Monotonic seconds after which it counts as lost."""


class CeleryDispatcher:
    """`shared.ports.Dispatcher`: group commit for waiting callers, single messages for jobs.

    Threads start with the first submission, hence after any fork.

    Args:
        sender: publishes messages.
        client: connection to the broker instance, for the reply list.
        jobs: completes the job of a request that nobody waits for any more.
        group_max_cars: most requests in one message.
        slots: messages under way at once.
    """

    def __init__(
        self,
        sender: TaskSender,
        client: RedisClient,
        jobs: JobStore,
        *,
        group_max_cars: int,
        slots: int,
    ) -> None:
        self._sender = sender
        self._client = client
        self._jobs = jobs
        self._group_max_cars = group_max_cars
        self._reply_to = redis_keys.reply_list(new_id())
        self._waiting: deque[Pending] = deque()
        self._wake = threading.Condition()
        self._slots = slots
        self._groups: dict[str, Group] = {}
        self._is_running = False
        self._failures = 0
        self._stopping = False

    def submit(
        self, valuation_id: ValuationId, request: CarRequest, caller: CallerId, deadline: float
    ) -> Pending:
        """Put a request into the open group.

        Raises:
            QueueFull: too many requests of this process wait already.
        """
        now = time.time()
        wire = [valuation_id, request.to_wire(), caller, deadline, now]
        pending = Pending(valuation_id, wire, time.monotonic() + deadline - now)
        with self._wake:
            if len(self._waiting) >= PENDING_LIMIT:
                raise QueueFull(waiting=len(self._waiting))
            if not self._is_running:
                self._start()
            self._waiting.append(pending)
            self._wake.notify()
        return pending

    def submit_job(self, job_id: JobId) -> None:
        """Publish the message of a stored job.

        Raises:
            BrokerUnavailable: the broker does not take it.
        """
        self._sender.send_job(job_id)

    def close(self) -> None:
        """Stop the threads and forget the reply list."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        try:
            self._client.delete(self._reply_to)
        except redis.RedisError as error:
            log.info("reply_list_not_deleted", error=str(error))

    def _start(self) -> None:
        self._is_running = True
        for target in (self._run_publisher, self._run_reader):
            threading.Thread(target=target, name=f"dispatch{target.__name__}", daemon=True).start()

    # Publisher

    def _run_publisher(self) -> None:
        while (group := self._next_group()) is not None:
            group_id = group.id
            DISPATCH_GROUP.observe(len(group.pendings))
            try:
                self._sender.send(
                    TaskName.VALUE_CARS,
                    {
                        "group_id": group_id,
                        "reply_to": self._reply_to,
                        "items": [pending.wire for pending in group.pendings.values()],
                    },
                )
            except BrokerUnavailable as error:
                self._fail_group(group_id, error)
            except Exception as error:
                log.exception("dispatch_failed", error=str(error))
                self._fail_group(group_id, ValuationFailed(reason="not published"))

    def _next_group(self) -> Group | None:
        """Whatever waits, up to the limit, once a slot is free; None to stop."""
        with self._wake:
            while not self._stopping and not (self._waiting and len(self._groups) < self._slots):
                self._wake.wait()
            if self._stopping:
                return None
            count = min(len(self._waiting), self._group_max_cars)
            taken = [self._waiting.popleft() for _ in range(count)]
            group = Group(
                id=new_id(),
                pendings={pending.id: pending for pending in taken},
                expires_at=max(pending.expires_at for pending in taken) + LOST_GROUP_GRACE_S,
            )
            for pending in taken:
                pending.group_id = group.id
            self._groups[group.id] = group
        return group

    # Reader

    def _run_reader(self) -> None:
        while not self._stopping:
            try:
                with broker_errors():
                    popped = self._client.brpop([self._reply_to], timeout=POLL_S)
                self._failures = 0
                if popped is not None:
                    self._take_reply(popped[1])
            except BrokerUnavailable as error:
                self._on_outage(error)
            except Exception as error:
                log.exception("reply_not_understood", error=str(error))
            self._drop_lost_groups()

    def _on_outage(self, error: BrokerUnavailable) -> None:
        """One broken connection is mended; a broker that is gone or silent fails who waits."""
        self._failures += 1
        is_silent = isinstance(error.__cause__, redis.TimeoutError)
        if self._failures == 1 and not is_silent:
            return
        if self._groups:
            log.warning("replies_interrupted", error=str(error))
        self._fail_all(error)
        time.sleep(POLL_S)

    def _take_reply(self, packed: bytes) -> None:
        group_id, outcomes = msgpack.unpackb(packed)
        group = self._release(group_id)
        if group is None:
            DISPATCH_LATE_REPLIES.labels(outcome="unknown").inc()
        late: list[tuple[JobId, Estimate | DomainError]] = []
        for valuation_id, estimate, code in outcomes:
            outcome: Estimate | DomainError = (
                Estimate.from_wire(estimate) if estimate is not None else error_of(code)
            )
            pending = group.pendings.get(valuation_id) if group else None
            if pending is None or not pending.resolve(outcome):
                late.append((JobId(valuation_id), outcome))
        # Those who wait come first: completing a job is a call to the broker.
        for job_id, outcome in late:
            self._complete_job(job_id, outcome)

    def _complete_job(self, job_id: JobId, outcome: Estimate | DomainError) -> None:
        """A late reply belongs to the job that was made when the caller stopped waiting."""
        if isinstance(outcome, Estimate):
            ended = self._jobs.finish(job_id, JobState.SUCCEEDED, [outcome])
        else:
            ended = self._jobs.finish(job_id, JobState.FAILED, error=outcome.code)
        DISPATCH_LATE_REPLIES.labels(outcome="stored" if ended else "ignored").inc()

    def _release(self, group_id: str) -> Group | None:
        """Give a group's slot back."""
        with self._wake:
            group = self._groups.pop(group_id, None)
            self._wake.notify()
        return group

    def _fail_group(self, group_id: str, error: DomainError) -> None:
        group = self._release(group_id)
        for pending in group.pendings.values() if group else ():
            pending.resolve(error)

    def _fail_all(self, error: DomainError) -> None:
        with self._wake:
            group_ids = list(self._groups)
        for group_id in group_ids:
            self._fail_group(group_id, error)

    def _drop_lost_groups(self) -> None:
        """A group whose reply is long overdue must not hold its slot for ever."""
        now = time.monotonic()
        with self._wake:
            lost = [key for key, group in self._groups.items() if group.expires_at < now]
        for group_id in lost:
            log.warning("group_lost", group_id=group_id)
            self._fail_group(group_id, ValuationFailed(reason="no reply"))


def error_of(code: str) -> DomainError:
    """The domain error that a worker reported by its code."""
    for kind in (errors.ModelNotLoaded, errors.AuditUnavailable, errors.BrokerUnavailable):
        if kind.code == code:
            return kind()
    return ValuationFailed(reason=code)
