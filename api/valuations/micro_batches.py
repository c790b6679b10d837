"""Micro-batching through Celery: one message, one forest call and one reply for many requests."""

import dataclasses
import os
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgpack
import redis

from api.valuations.waiting import WaitingRequests
from shared.domain.errors import (
    TEMPORARY_ERRORS,
    BrokerUnavailable,
    DomainError,
    QueueFull,
    UnreadableRecord,
    ValuationFailed,
)
from shared.domain.ids import CallerId, JobId, ValuationId, new_id
from shared.domain.job import JobEnd, effort_of
from shared.domain.valuation import CarRequest, Estimate
from shared.logging import get_logger
from shared.metrics import DISPATCH_GROUP, DISPATCH_LATE_REPLIES
from shared.queue.names import TaskName
from shared.queue.sender import EstimateResult, TaskSender, unpack_reply
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store.store import JobStore
from shared.redis.pipelines import PipelinedCommands

DoneCallback: TypeAlias = Callable[[list["EstimateFuture"]], None]


class EstimateFuture:
    """The future of one submitted valuation.

    Args:
        valuation_id: the request's id.
        wire: the request as it is sent.
        expires_at: monotonic seconds after which nobody waits for it.
        caller: who waits for it.
        effort: its expected duration, in that of one car without extras.
        on_done: called with all futures of a micro-batch that have a result, by the thread that
            sets the results: it must neither block nor raise.
    """

    __slots__ = (
        "_abandoned",
        "_lock",
        "_result",
        "caller",
        "effort",
        "expires_at",
        "group_id",
        "id",
        "on_done",
        "wire",
    )

    def __init__(
        self,
        valuation_id: ValuationId,
        wire: bytes,
        expires_at: float,
        on_done: DoneCallback,
        *,
        caller: str = "",
        effort: int = 1,
    ) -> None:
        self.id = valuation_id
        self.caller = caller
        self.effort = effort
        self.wire = wire
        self.expires_at = expires_at
        self.on_done = on_done
        self.group_id = ""
        self._lock = threading.Lock()
        self._result: EstimateResult | None = None
        self._abandoned = False

    def estimate(self) -> Estimate | None:
        """The estimate; None without a result; raises the error that the worker reported."""
        result = self._result
        if isinstance(result, DomainError):
            raise result
        return result

    @property
    def failure(self) -> DomainError | None:
        """The error, if the result is one."""
        return self._result if isinstance(self._result, DomainError) else None

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._abandoned

    def abandon(self) -> Estimate | None:
        """Stop waiting; return the estimate if it has just come."""
        with self._lock:
            self._abandoned = True
        return self.estimate()

    def set_result(self, result: EstimateResult) -> bool:
        """Set the result, once; False if it is set already or nobody waits for it."""
        with self._lock:
            if self._abandoned or self._result is not None:
                return False
            self._result = result
        return True


def set_results(
    results: Iterable[tuple[EstimateFuture, EstimateResult]],
) -> list[tuple[EstimateFuture, EstimateResult]]:
    """Set many results and call each `on_done` once; return those that nobody waits for."""
    done: list[EstimateFuture] = []
    unwanted: list[tuple[EstimateFuture, EstimateResult]] = []
    for future, result in results:
        if future.set_result(result):
            done.append(future)
        else:
            unwanted.append((future, result))
    notify(done)
    return unwanted


def notify(futures: Iterable[EstimateFuture]) -> None:
    """Call each `on_done` once, with all of its futures."""
    futures_of: dict[DoneCallback, list[EstimateFuture]] = defaultdict(list)
    for future in futures:
        futures_of[future.on_done].append(future)
    for on_done, done in futures_of.items():
        on_done(done)


@dataclasses.dataclass(slots=True)
class MicroBatch:
    """Requests that are sent in one message."""

    id: str
    futures: dict[str, EstimateFuture]
    slot_expires_at: float
    """Monotonic seconds until which it holds a slot; its reply may come later."""
    expires_at: float
    """Monotonic seconds after which it is lost."""


POLL_S = 0.5
"""How long the reader blocks; a stop or a lost micro-batch is noticed within this time."""

SLOT_TIMEOUT_S = 2.0
"""How long a micro-batch holds its slot at most. A reply takes milliseconds: after this time the
worker has died or is frozen, and other requests must not wait for the longest deadline in it."""

LOST_BATCH_GRACE_S = 2.0
"""A micro-batch without a reply this long after its last deadline is given up."""
MAX_WAITING_REQUESTS = 5000
"""Requests that may wait in one process."""

STALL_S = 0.5
"""Workers that have work and have not replied for this long are stopped, not busy."""

MICRO_BATCH_MAX_EFFORT = 200
"""Effort of a micro-batch, in cars without extras: some 15 ms, for which all its callers wait. It
limits requests with extras; cars without are limited by their number."""

MICRO_BATCH_MAX_BYTES = 256_000
"""Size limit of a micro-batch; a car takes some 200 bytes, so the count usually decides."""

log = get_logger("dispatch")


class MicroBatchDispatcher:
    """Puts the requests of waiting callers on the queue, as micro-batches.

    A single request is sent at once. While all slots are taken, requests are collected; the next
    free slot sends them as one micro-batch. While the broker is down, every method raises
    `BrokerUnavailable` within two seconds.

    The thread that reads replies starts with the first submission. A forked child starts with a
    thread and a reply list of its own; the requests that waited belong to its parent.

    Args:
        sender: publishes messages.
        client: connection to the broker instance, for the reply list.
        jobs: completes the job of a request that nobody waits for any more.
        group_max_cars: most requests in one message.
        slots: micro-batches without a reply at once.
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
        self._slots = slots
        self._reset()
        begin = weakref.WeakMethod(self._reset)
        os.register_at_fork(after_in_child=lambda: (own := begin()) and own())

    def _reset(self) -> None:
        """Start with nothing sent, as a forked child has to."""
        self._reply_to = keys.reply_list(new_id())
        self._lock = threading.Lock()
        self._waiting = WaitingRequests(lambda: MAX_WAITING_REQUESTS)
        self._in_flight: dict[str, MicroBatch] = {}
        self._replied_at = 0.0
        """Monotonic seconds of the last reply, or of the first message after an idle time."""
        self._is_running = False
        self._stopping = False
        self._failures = 0

    def prepare(
        self,
        valuation_id: ValuationId,
        request: CarRequest,
        caller: CallerId,
        deadline: float,
        on_done: DoneCallback,
        *,
        trace: str = "",
    ) -> EstimateFuture:
        """Make the future of a request that is ready to be submitted; nothing is sent yet."""
        now = time.time()
        members = [valuation_id, request.to_wire(), caller, deadline, now]
        if trace:
            members.append(trace)
        return EstimateFuture(
            valuation_id,
            msgpack.packb(members),
            time.monotonic() + deadline - now,
            on_done,
            caller=caller,
            effort=effort_of(request),
        )

    def submit_all(self, futures: Sequence[EstimateFuture]) -> None:
        """Add requests to those that wait, and send them if a slot is free.

        The result of a request for whose caller there is no space is `QueueFull`.

        Raises:
            QueueFull: there is no space for any of them.
        """
        with self._lock:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="dispatch", daemon=True).start()
            refused = self._waiting.add(futures)
            full = QueueFull(waiting=len(self._waiting))
        if len(refused) == len(futures):
            raise full
        set_results((future, full) for future in refused)
        self._send_waiting()

    def is_stalled(self) -> bool:
        """Whether the workers have work and do not reply."""
        return bool(self._in_flight) and time.monotonic() - self._replied_at > STALL_S

    def callers(self) -> int:
        """How many requests wait: those on their way to a worker, and those not sent yet."""
        with self._lock:
            sent = sum(len(each.futures) for each in self._in_flight.values())
            return sent + len(self._waiting)

    def close(self) -> None:
        """Stop the thread and delete the reply list."""
        self._stopping = True
        try:
            self._client.delete(self._reply_to)
        except redis.RedisError as error:
            log.info("reply_list_not_deleted", error=str(error))

    # Micro-batches

    def _send_waiting(self) -> None:
        """Send micro-batches while requests wait and a slot is free."""
        while (micro_batch := self._next_micro_batch()) is not None:
            DISPATCH_GROUP.observe(len(micro_batch.futures))
            try:
                self._send(micro_batch)
            except BrokerUnavailable as error:
                self._fail_micro_batch(micro_batch.id, error)
                self._fail_waiting(error)
            except Exception as error:
                log.exception("dispatch_failed", error=str(error))
                self._fail_micro_batch(micro_batch.id, ValuationFailed(reason="not published"))

    def _send(self, micro_batch: MicroBatch) -> None:
        items = [future.wire for future in micro_batch.futures.values()]
        kwargs = {"group_id": micro_batch.id, "reply_to": self._reply_to, "items": items}
        self._sender.send(TaskName.VALUE_CARS, kwargs)

    def _next_micro_batch(self) -> MicroBatch | None:
        """Take the waiting requests, up to the limits; None without any or without a free slot."""
        with self._lock:
            if not self._waiting or not self._has_slot():
                return None
            taken = self._waiting.take(
                max_requests=self._group_max_cars,
                max_bytes=MICRO_BATCH_MAX_BYTES,
                max_effort=MICRO_BATCH_MAX_EFFORT,
            )
            if not taken:
                return None
            micro_batch = MicroBatch(
                id=new_id(),
                futures={future.id: future for future in taken},
                slot_expires_at=time.monotonic() + SLOT_TIMEOUT_S,
                expires_at=max(future.expires_at for future in taken) + LOST_BATCH_GRACE_S,
            )
            for future in taken:
                future.group_id = micro_batch.id
            if not self._in_flight:
                self._replied_at = time.monotonic()
            self._in_flight[micro_batch.id] = micro_batch
        return micro_batch

    def _has_slot(self) -> bool:
        """Whether another micro-batch may be sent; to be called with the lock held."""
        if len(self._in_flight) < self._slots:
            return True
        busy = [
            each for each in self._in_flight.values() if time.monotonic() < each.slot_expires_at
        ]
        return len(busy) < self._slots

    def _release(self, group_id: str) -> MicroBatch | None:
        """Free the slot of a micro-batch."""
        with self._lock:
            return self._in_flight.pop(group_id, None)

    # Replies

    def _run(self) -> None:
        connections = ConnectionCache(self._client)
        brpop = ("BRPOP", self._reply_to, POLL_S)
        while not self._stopping:
            try:
                with broker_errors(), PipelinedCommands(connections, brpop) as asked:
                    (popped,) = asked.responses()
                self._failures = 0
                if popped is not None:
                    self._handle_reply_safely(popped[1])
            except BrokerUnavailable as error:
                self._on_broker_outage(error)
            except Exception as error:
                log.exception("replies_not_read", error=str(error))
                time.sleep(POLL_S)  # a broker that refuses every command must not cause a busy loop
            self._expire_micro_batches()
            self._send_waiting()

    def _on_broker_outage(self, error: BrokerUnavailable) -> None:
        """Retry after one broken connection; fail the waiting requests if the broker is gone."""
        self._failures += 1
        is_timeout = isinstance(error.__cause__, redis.TimeoutError)
        if self._failures == 1 and not is_timeout:
            return
        if self._in_flight:
            log.warning("replies_interrupted", error=str(error))
        with self._lock:
            group_ids = list(self._in_flight)
        for group_id in group_ids:
            self._fail_micro_batch(group_id, error)
        time.sleep(POLL_S)

    def _handle_reply_safely(self, packed: bytes) -> None:
        """Handle a reply; one that cannot be read must not delay the next ones."""
        try:
            self._handle_reply(packed)
        except BrokerUnavailable:
            raise
        except UnreadableRecord as error:
            log.warning("reply_unreadable", error=str(error))
            DISPATCH_LATE_REPLIES.labels(outcome="unreadable").inc()
        except Exception as error:
            log.exception("reply_not_understood", error=str(error))
            DISPATCH_LATE_REPLIES.labels(outcome="unreadable").inc()

    def _handle_reply(self, packed: bytes) -> None:
        group_id, answered = unpack_reply(packed)
        self._replied_at = time.monotonic()
        micro_batch = self._release(group_id)
        if micro_batch is None:
            DISPATCH_LATE_REPLIES.labels(outcome="unknown").inc()
        waiting = micro_batch.futures if micro_batch else {}
        late: list[tuple[str, EstimateResult]] = [
            each for each in answered if each[0] not in waiting
        ]
        late += [
            (future.id, result)
            for future, result in set_results(
                (waiting[each], result) for each, result in answered if each in waiting
            )
        ]
        # After the waiting requests, because completing jobs calls the broker.
        if late:
            self._complete_jobs(late)

    def _complete_jobs(self, late: Sequence[tuple[str, EstimateResult]]) -> None:
        """Complete the jobs that requests became when their callers stopped waiting.

        A temporary failure ends no job: its own message values it after the outage.
        """
        ends = [
            JobEnd.of(JobId(job_id), result)
            for job_id, result in late
            if not isinstance(result, TEMPORARY_ERRORS)
        ]
        for has_ended in self._jobs.finish_all(ends):
            DISPATCH_LATE_REPLIES.labels(outcome="stored" if has_ended else "ignored").inc()

    # Failures

    def _fail_micro_batch(self, group_id: str, error: DomainError) -> None:
        micro_batch = self._release(group_id)
        if micro_batch is not None:
            set_results((future, error) for future in micro_batch.futures.values())

    def _fail_waiting(self, error: DomainError) -> None:
        """Fail the collected requests at once instead of trying to send each of them."""
        with self._lock:
            waiting = self._waiting.clear()
        set_results((future, error) for future in waiting)

    def _expire_micro_batches(self) -> None:
        """Give up micro-batches whose replies are long overdue."""
        now = time.monotonic()
        with self._lock:
            lost = [each.id for each in self._in_flight.values() if each.expires_at < now]
        for group_id in lost:
            log.warning("group_lost", group_id=group_id)
            self._fail_micro_batch(group_id, ValuationFailed(reason="no reply"))
