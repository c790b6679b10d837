"""Queues the work that may wait: jobs, steps of batches and exports, shared between callers."""

import contextlib
import time
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple, Protocol

from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import CallerId
from shared.domain.job import Job
from shared.logging import get_logger
from shared.queue.names import TASK_QUEUES, TaskName
from shared.queue.sender import TaskSender
from shared.redis.connections import RedisClient
from shared.redis.fair_queues.queues import FairQueues, WorkItem
from shared.redis.workers import WorkerRegistry

FAIR_PROTOCOL = 2
"""Workers that announce this protocol release what they have carried out. With others no item would
be released, so messages are sent at once."""

CARS_PER_S: Final = 15_000
"""Plain cars that one process values per second."""

SLOW_S: Final = 0.5
"""An item expected to take longer is slow."""

JOBS_GROUP = "jobs"

log = get_logger("work")


class Expectation(NamedTuple):
    """What is expected of a task.

    Attributes:
        cost_s: its duration, seconds.
        lease_s: time that it is in flight at most, unless its worker has died, seconds.
    """

    cost_s: float
    lease_s: float


EXPECTED: Final = {
    TaskName.VALUE_JOB: Expectation(0.002, 10),
    TaskName.VALUE_LIST: Expectation(0.002, 60),
    TaskName.SPLIT_BATCH: Expectation(0.1, 600),
    TaskName.VALUE_CHUNK: Expectation(0.1, 60),
    TaskName.ASSEMBLE_BATCH: Expectation(0.1, 600),
    TaskName.MAKE_EXPORT: Expectation(1.0, 600),
}


class SendWork(Protocol):
    """Queues a task for a caller, as `WorkSender.send`."""

    def __call__(
        self,
        task: TaskName,
        kwargs: dict[str, Any],
        caller: CallerId,
        *,
        part: int = 0,
        is_slow: bool = False,
    ) -> None:
        """Queue a task; raises `BrokerUnavailable`."""


def make_work_sender(client: RedisClient, clock: Clock) -> "WorkSender":
    """The sender of a process that has this connection to the broker."""
    return WorkSender(TaskSender(client), FairQueues(client, clock), WorkerRegistry(client, clock))


class WorkSender:
    """Enters work into the fair queues; sends it at once while workers of older releases run.

    Args:
        sender: publishes messages.
        fair: the fair queues.
        workers: tells which protocol the workers announce.
    """

    def __init__(self, sender: TaskSender, fair: FairQueues, workers: WorkerRegistry) -> None:
        self._sender = sender
        self._fair = fair
        self._workers = workers

    def send(
        self,
        task: TaskName,
        kwargs: dict[str, Any],
        caller: CallerId,
        *,
        part: int = 0,
        is_slow: bool = False,
    ) -> None:
        """Queue a step of a batch, or an export.

        Args:
            task: the task.
            kwargs: its arguments, with `batch_id`.
            caller: who owns the batch.
            part: number of the part of the task's work, for a task that sends itself again.
            is_slow: whether it is known to take seconds.

        Raises:
            BrokerUnavailable: the broker does not take it.
        """
        what = [f"{name}={kwargs[name]}" for name in sorted(kwargs) if name != "enqueued_at"]
        expected = EXPECTED[task]
        self._enter(
            task,
            kwargs,
            item_id=f"{task}:{','.join(what)}:{part}",
            caller=caller,
            group=kwargs["batch_id"],
            cost_s=expected.cost_s,
            is_slow=is_slow or expected.cost_s > SLOW_S,
        )

    def send_job(self, job: Job) -> None:
        """Queue a stored job; long ones use the queue for bulk work.

        Raises:
            BrokerUnavailable: the broker does not take it.
        """
        task = TaskName.VALUE_LIST if job.is_long else TaskName.VALUE_JOB
        cost_s = EXPECTED[task].cost_s + job.effort / CARS_PER_S
        self._enter(
            task,
            {"job_id": job.id, "enqueued_at": time.time()},
            item_id=job.id,
            caller=job.caller,
            group=JOBS_GROUP,
            cost_s=cost_s,
            is_slow=cost_s > SLOW_S,
        )

    def sweep(self) -> int:
        """Send the items whose turn it is, in case a worker has died; return how many."""
        return self._fair.interactive.dispatch() + self._fair.bulk.dispatch()

    def forget_bulk_in_flight(self, *, except_for: Collection[str]) -> None:
        """Count no bulk work as in flight, because its workers have died.

        Args:
            except_for: ids of the messages that are on the queues.

        Raises:
            BrokerUnavailable: the leases of the work expire by themselves.
        """
        self._fair.bulk.forget_in_flight(except_for)

    def request_sweep(self) -> None:
        """Have lost work sent again now, instead of by the next scheduled sweep.

        Raises:
            BrokerUnavailable: the broker does not take the message.
        """
        self._sender.send(TaskName.SWEEP, {})

    @contextlib.contextmanager
    def taken(self, message_id: str) -> Iterator[None]:
        """Record on entry that a worker has taken a short job, so that the next one is sent.

        The job is carried out, or postponed, although that fails: its message is gone.

        Args:
            message_id: of the task that runs in this context.

        Raises:
            BrokerUnavailable: on exit; the lease of the message expires by itself.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._fair.interactive.release_concurrently(message_id))
            except BrokerUnavailable as error:
                log.warning("work_not_released", error=str(error))
            yield

    @contextlib.contextmanager
    def carried_out(self, message_id: str) -> Iterator[None]:
        """Record on exit that the process is free again, and send the next item of the bulk queue.

        Args:
            message_id: of the task that runs in this context.
        """
        started = time.monotonic()
        try:
            yield
        finally:
            try:
                self._fair.bulk.release(message_id, time.monotonic() - started)
            except BrokerUnavailable as error:  # its lease expires
                log.warning("work_not_released", error=str(error))

    def _enter(
        self,
        task: TaskName,
        kwargs: dict[str, Any],
        *,
        item_id: str,
        caller: CallerId,
        group: str,
        cost_s: float,
        is_slow: bool,
    ) -> None:
        if self._workers.protocol() < FAIR_PROTOCOL:
            self._sender.send(task, kwargs)
            return
        token, message = self._sender.render(task, kwargs)
        queue = TASK_QUEUES[task]
        item = WorkItem(
            id=item_id,
            caller=caller,
            group=group,
            cost_s=cost_s,
            is_slow=is_slow,
            lease_s=EXPECTED[task].lease_s,
            queue=str(queue),
            token=token,
            message=message,
        )
        self._fair.of(queue).enter(item)
