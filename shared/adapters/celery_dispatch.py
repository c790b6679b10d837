"""Group commit through Celery: one message, one forest call and one reply for many requests.

Waiting requests gather in memory. Whoever finds a slot free takes all that is there and sends it
as one message: the thread that brings a request or, when a reply frees a slot, the one that reads
replies. There is no timer and no thread in between. Alone, a request leaves at once; under load,
groups fill while earlier ones are under way. Replies come back on a list that this process owns.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence

import msgpack
import redis

from shared.adapters import redis_keys
from shared.adapters.celery_sender import TaskSender
from shared.adapters.pending import Deliver, Group, Pending, resolve_all
from shared.adapters.redis_ahead import Ahead
from shared.adapters.redis_client import RedisClient, broker_errors
from shared.adapters.redis_direct import DirectConnections
from shared.adapters.redis_jobs import JobStore
from shared.adapters.redis_replies import Outcome, unpack_reply
from shared.domain.errors import BrokerUnavailable, DomainError, QueueFull, ValuationFailed
from shared.domain.ids import CallerId, JobId, ValuationId, new_id
from shared.domain.job import CarRequest, JobEnd
from shared.logging import get_logger
from shared.metrics import DISPATCH_GROUP, DISPATCH_LATE_REPLIES
from shared.names import TaskName

POLL_S = 0.5
"""How long the reader blocks; the bound on noticing a stop or a lost group."""

SLOT_S = 2.0
"""How long a group holds its slot at most. A reply takes milliseconds: the worker has died or is
frozen, and others must not wait as long as the most patient caller of this group."""

LOST_GROUP_GRACE_S = 2.0
"""A group without a reply this long after its last deadline is given up."""
PENDING_LIMIT = 5000
"""Requests that may wait in one process."""

GROUP_MAX_BYTES = 256_000
"""Size at which a group is cut; a car takes some 200 bytes, so it is the count that counts."""

log = get_logger("dispatch")


class MicroBatchDispatcher:
    """Puts work on the queue: micro-batches for waiting callers, single messages for jobs.

    While the broker is down, every method raises `BrokerUnavailable` within two seconds.

    The thread that reads replies starts with the first submission. A forked child begins anew,
    with a thread and a reply list of its own; what waited belongs to its parent.

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
        self._slots = slots
        self._begin()
        begin = weakref.WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (own := begin()) and own())

    def _begin(self) -> None:
        """The state of a process that has not sent anything yet."""
        self._reply_to = redis_keys.reply_list(new_id())
        self._lock = threading.Lock()
        self._waiting: deque[Pending] = deque()
        self._groups: dict[str, Group] = {}
        self._is_running = False
        self._stopping = False
        self._failures = 0

    def submit(
        self, valuation_id: ValuationId, request: CarRequest, caller: CallerId, deadline: float
    ) -> Pending:
        """Put a request into the open group, and send the group if a slot is free.

        Raises:
            QueueFull: too many requests of this process wait already.
        """
        pending = self.prepare(valuation_id, request, caller, deadline)
        self.submit_all([pending])
        return pending

    def prepare(
        self,
        valuation_id: ValuationId,
        request: CarRequest,
        caller: CallerId,
        deadline: float,
        deliver: Deliver | None = None,
    ) -> Pending:
        """A request that is ready to be submitted; nothing is sent yet."""
        now = time.time()
        wire = msgpack.packb([valuation_id, request.to_wire(), caller, deadline, now])
        return Pending(valuation_id, wire, time.monotonic() + deadline - now, deliver)

    def submit_all(self, pendings: Sequence[Pending]) -> None:
        """Put requests into the open group together, and send what waits if a slot is free.

        Raises:
            QueueFull: too many requests of this process wait already; none of these does.
        """
        with self._lock:
            if len(self._waiting) + len(pendings) > PENDING_LIMIT:
                raise QueueFull(waiting=len(self._waiting))
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="dispatch", daemon=True).start()
            self._waiting.extend(pendings)
        self._send_waiting()

    def submit_job(self, job_id: JobId, *, is_long: bool) -> None:
        """Publish the message of a stored job.

        Raises:
            BrokerUnavailable: the broker does not take it.
        """
        self._sender.send_job(job_id, is_long=is_long)

    def close(self) -> None:
        """Stop the thread and forget the reply list."""
        self._stopping = True
        try:
            self._client.delete(self._reply_to)
        except redis.RedisError as error:
            log.info("reply_list_not_deleted", error=str(error))

    # Groups

    def _send_waiting(self) -> None:
        """Send what waits, as long as a slot is free."""
        while (group := self._next_group()) is not None:
            DISPATCH_GROUP.observe(len(group.pendings))
            try:
                self._send(group)
            except BrokerUnavailable as error:
                self._fail_group(group.id, error)
                self._fail_waiting(error)
            except Exception as error:
                log.exception("dispatch_failed", error=str(error))
                self._fail_group(group.id, ValuationFailed(reason="not published"))

    def _send(self, group: Group) -> None:
        items = [pending.wire for pending in group.pendings.values()]
        kwargs = {"group_id": group.id, "reply_to": self._reply_to, "items": items}
        self._sender.send(TaskName.VALUE_CARS, kwargs)

    def _next_group(self) -> Group | None:
        """Whatever waits, up to the limits; None if nothing does or no slot is free."""
        with self._lock:
            if not self._waiting or not self._has_slot():
                return None
            taken = self._take()
            group = Group(
                id=new_id(),
                pendings={pending.id: pending for pending in taken},
                holds_slot_until=time.monotonic() + SLOT_S,
                expires_at=max(pending.expires_at for pending in taken) + LOST_GROUP_GRACE_S,
            )
            for pending in taken:
                pending.group_id = group.id
            self._groups[group.id] = group
        return group

    def _has_slot(self) -> bool:
        """Whether another group may be sent; asked with the lock held."""
        if len(self._groups) < self._slots:
            return True
        busy = [each for each in self._groups.values() if time.monotonic() < each.holds_slot_until]
        return len(busy) < self._slots

    def _take(self) -> list[Pending]:
        """The requests of the next group, one at least."""
        taken = [self._waiting.popleft()]
        size_bytes = len(taken[0].wire)
        while self._waiting and len(taken) < self._group_max_cars:
            size_bytes += len(self._waiting[0].wire)
            if size_bytes > GROUP_MAX_BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    def _release(self, group_id: str) -> Group | None:
        """Give a group's slot back."""
        with self._lock:
            return self._groups.pop(group_id, None)

    # Replies

    def _run(self) -> None:
        connections = DirectConnections(self._client)
        brpop = ("BRPOP", self._reply_to, POLL_S)
        while not self._stopping:
            try:
                with broker_errors(), Ahead(connections, brpop) as asked:
                    (popped,) = asked.answers()
                self._failures = 0
                if popped is not None:
                    self._take_any_reply(popped[1])
            except BrokerUnavailable as error:
                self._on_outage(error)
            except Exception as error:
                log.exception("replies_not_read", error=str(error))
                time.sleep(POLL_S)  # a broker that refuses every command must not keep us busy
            self._drop_lost_groups()
            self._send_waiting()

    def _on_outage(self, error: BrokerUnavailable) -> None:
        """One broken connection is mended; a broker that is gone or silent fails who waits."""
        self._failures += 1
        is_silent = isinstance(error.__cause__, redis.TimeoutError)
        if self._failures == 1 and not is_silent:
            return
        if self._groups:
            log.warning("replies_interrupted", error=str(error))
        with self._lock:
            group_ids = list(self._groups)
        for group_id in group_ids:
            self._fail_group(group_id, error)
        time.sleep(POLL_S)

    def _take_any_reply(self, packed: bytes) -> None:
        """Take a reply; one that cannot be read must not delay those behind it."""
        try:
            self._take_reply(packed)
        except BrokerUnavailable:
            raise
        except Exception as error:
            log.exception("reply_not_understood", error=str(error))
            DISPATCH_LATE_REPLIES.labels(outcome="unreadable").inc()

    def _take_reply(self, packed: bytes) -> None:
        group_id, answered = unpack_reply(packed)
        group = self._release(group_id)
        if group is None:
            DISPATCH_LATE_REPLIES.labels(outcome="unknown").inc()
        waiting = group.pendings if group else {}
        late: list[tuple[str, Outcome]] = [each for each in answered if each[0] not in waiting]
        late += [
            (pending.id, outcome)
            for pending, outcome in resolve_all(
                (waiting[each], outcome) for each, outcome in answered if each in waiting
            )
        ]
        # Those who wait come first: completing jobs is a call to the broker.
        if late:
            self._complete_jobs(late)

    def _complete_jobs(self, late: Sequence[tuple[str, Outcome]]) -> None:
        """Late replies belong to the jobs that were made when their callers stopped waiting."""
        ends = [JobEnd.of(JobId(job_id), outcome) for job_id, outcome in late]
        for has_ended in self._jobs.finish_all(ends):
            DISPATCH_LATE_REPLIES.labels(outcome="stored" if has_ended else "ignored").inc()

    # Failures

    def _fail_group(self, group_id: str, error: DomainError) -> None:
        group = self._release(group_id)
        if group is not None:
            resolve_all((pending, error) for pending in group.pendings.values())

    def _fail_waiting(self, error: DomainError) -> None:
        """What cannot be sent now must not wait until it has been tried as well."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        resolve_all((pending, error) for pending in waiting)

    def _drop_lost_groups(self) -> None:
        """A group whose reply is long overdue must not hold its slot for ever."""
        now = time.monotonic()
        with self._lock:
            lost = [key for key, group in self._groups.items() if group.expires_at < now]
        for group_id in lost:
            log.warning("group_lost", group_id=group_id)
            self._fail_group(group_id, ValuationFailed(reason="no reply"))
