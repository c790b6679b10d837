"""Queues the work that may wait: jobs, steps of batches and exports, shared between callers."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import CallerId, JobId
from shared.domain.job import Job
from shared.logging import get_logger
from shared.queue.names import TASK_QUEUES, TaskName
from shared.queue.sender import TaskSender
from shared.redis import keys
from shared.redis.connections import RedisClient
from shared.redis.fair_queues.queues import FairQueues, WorkItem
from shared.redis.fair_queues.scripts import MAX_EFFORT, MAX_JOBS
from shared.redis.job_store.creation import CreateOutcome, KeyEntry, QueueCall, QueueJobs
from shared.redis.job_store.store import JobStore
from shared.redis.pipelines import Command, ScriptCall
from shared.redis.workers import WorkerRegistry

FAIR_PROTOCOL = 2
"""Workers that announce this protocol release what they have carried out. With others no item would
be released, so messages are sent at once."""

GROUP_PROTOCOL = 3
"""Workers that announce this protocol take messages that name many jobs."""

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
    TaskName.VALUE_JOBS: Expectation(0.002, 10),
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
        self._sender.publish(
            self._entering(
                task,
                kwargs,
                item_id=f"{task}:{','.join(what)}:{part}",
                caller=caller,
                group=kwargs["batch_id"],
                cost_s=expected.cost_s,
                is_slow=is_slow or expected.cost_s > SLOW_S,
            )
        )

    def send_job(self, job: Job) -> None:
        """As `send_jobs`, of one."""
        self.send_jobs([job])

    def send_jobs(self, jobs: Sequence[Job]) -> None:
        """Queue stored jobs; long ones use the queue for bulk work.

        Raises:
            BrokerUnavailable: the broker does not take one of them.
        """
        self._sender.publish(*(each.call for each in self.calls_of(jobs)))

    def calls_of(self, jobs: Sequence[Job]) -> list[QueueCall]:
        """The calls that queue jobs, for a pipeline; short jobs of a caller share messages.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        shares_messages = self._workers.protocol() >= GROUP_PROTOCOL
        calls: list[QueueCall] = []
        short: dict[CallerId, list[Job]] = defaultdict(list)
        for job in jobs:
            if shares_messages and not job.is_long:
                short[job.caller].append(job)
            else:
                calls.append(QueueCall(self._call_of_one(job), [job.id]))
        groups = (group for own in short.values() for group in _in_messages(own))
        calls += [
            QueueCall(self._call_of_group(group), [job.id for job in group]) for group in groups
        ]
        return calls

    def _call_of_one(self, job: Job) -> ScriptCall | Command:
        """The call that queues a job by a message of its own."""
        task = TaskName.VALUE_LIST if job.is_long else TaskName.VALUE_JOB
        cost_s = EXPECTED[task].cost_s + job.effort / CARS_PER_S
        return self._entering(
            task,
            {"job_id": job.id, "enqueued_at": time.time()},
            item_id=job.id,
            caller=job.caller,
            group=JOBS_GROUP,
            cost_s=cost_s,
            is_slow=cost_s > SLOW_S,
        )

    def _call_of_group(self, jobs: Sequence[Job]) -> ScriptCall:
        """The call that queues short jobs of one caller by one message."""
        task, ids = TaskName.VALUE_JOBS, [job.id for job in jobs]
        token, message = self._sender.render_jobs(ids)
        effort = sum(job.effort for job in jobs)
        item = WorkItem(
            id=token,
            caller=jobs[0].caller,
            group=JOBS_GROUP,
            cost_s=EXPECTED[task].cost_s + effort / CARS_PER_S,
            is_slow=False,
            lease_s=EXPECTED[task].lease_s,
            queue=keys.queue(TASK_QUEUES[task]),
            token=token,
            message=message,
            jobs=ids,
            effort=effort,
            extra_s=effort / CARS_PER_S,
        )
        return self._fair.interactive.entering(item)

    def bulk_places(self) -> int:
        """Number of processes of the live bulk workers; 0: none is alive.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        return self._fair.bulk.places()

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

    def _entering(
        self,
        task: TaskName,
        kwargs: dict[str, Any],
        *,
        item_id: str,
        caller: CallerId,
        group: str,
        cost_s: float,
        is_slow: bool,
    ) -> ScriptCall | Command:
        """The call that enters a task into its fair queue, or sends it at once."""
        if self._workers.protocol() < FAIR_PROTOCOL:
            return self._sender.command(task, kwargs)
        token, message = self._sender.render(task, kwargs)
        queue = TASK_QUEUES[task]
        item = WorkItem(
            id=item_id,
            caller=caller,
            group=group,
            cost_s=cost_s,
            is_slow=is_slow,
            lease_s=EXPECTED[task].lease_s,
            queue=keys.queue(queue),
            token=token,
            message=message,
        )
        return self._fair.of(queue).entering(item)


class JobSubmitter:
    """Stores jobs and puts them on the queue, by one round trip of the broker.

    Args:
        store: the stored jobs.
        work: queues work.
    """

    def __init__(self, store: JobStore, work: WorkSender) -> None:
        self._store = store
        self._work = work

    def submit(
        self,
        jobs: Sequence[Job],
        entries: Mapping[JobId, KeyEntry] | None = None,
        then: QueueJobs = lambda _: (),
    ) -> list[CreateOutcome]:
        """Store and queue jobs; what became of each, see `JobCreation.create_all`.

        Args:
            jobs: jobs with different ids.
            entries: Idempotency-Keys, by the jobs that are submitted under one.
            then: further calls, after those that store and queue the jobs.

        Raises:
            AcceptanceUnknown: the broker broke off; any of them may be stored.
            BrokerUnavailable: the broker does not answer; none of them is stored.
        """

        def calls_of(admitted: Sequence[Job]) -> list[QueueCall]:
            return [*self._work.calls_of(admitted), *then(admitted)]

        return self._store.create_all(jobs, calls_of, entries)


def _in_messages(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs of one caller by the messages that name them."""
    group: list[Job] = []
    effort = 0
    for job in jobs:
        if group and (len(group) == MAX_JOBS or effort + job.effort > MAX_EFFORT):
            yield group
            group, effort = [], 0
        group.append(job)
        effort += job.effort
    if group:
        yield group
