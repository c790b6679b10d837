"""Celery tasks: each takes ids and calls one service."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from celery import Celery

from shared.domain.batch import ExportFormat, ResultTable
from shared.domain.ids import BatchId, JobId
from shared.metrics import QUEUE_WAIT
from shared.queue.celery_app import LONG_TASK_TIME_LIMIT_S
from shared.queue.names import QueueName, TaskName
from worker.batches.assemble import BatchAssembler
from worker.batches.exports.service import BatchExporter
from worker.batches.split import BatchSplitter
from worker.batches.value import BatchValuation
from worker.valuations.service import ValuationService


def register_valuation_tasks(app: Celery, service: Callable[[], ValuationService]) -> None:
    """Define the tasks on `app`; `service` gives the one of the running process."""

    @app.task(name=str(TaskName.VALUE_CARS))
    def value_cars(group_id: str, reply_to: str, items: list[bytes]) -> None:
        """Value a group of cars that callers wait for."""
        service().value_group(group_id, reply_to, items)

    @app.task(name=str(TaskName.VALUE_JOB))
    def value_job(job_id: str, enqueued_at: float) -> None:
        """Value the cars of a stored job."""
        service().value_job(JobId(job_id), enqueued_at)

    @app.task(name=str(TaskName.VALUE_LIST))
    def value_list(job_id: str, enqueued_at: float) -> None:
        """Value the cars of a stored job that takes long."""
        service().value_job(JobId(job_id), enqueued_at, QueueName.BULK)


class BatchServices(NamedTuple):
    """What the tasks call."""

    split: BatchSplitter
    value: BatchValuation
    assemble: BatchAssembler
    forms: BatchExporter


SOFT_S, HARD_S = LONG_TASK_TIME_LIMIT_S - 30, LONG_TASK_TIME_LIMIT_S
"""Limits of the tasks that may go through a whole file: a workbook is opened at one go."""


def register_batch_tasks(app: Celery, services: Callable[[], BatchServices]) -> None:
    """Define the tasks on `app`; `services` gives those of the running process."""

    @app.task(name=str(TaskName.SPLIT_BATCH), soft_time_limit=SOFT_S, time_limit=HARD_S)
    def split(batch_id: str) -> None:
        """Cut the next slice of an uploaded file into chunks."""
        services().split.run(BatchId(batch_id))

    @app.task(name=str(TaskName.VALUE_CHUNK))
    def value_chunk(batch_id: str, chunk: int, enqueued_at: float) -> None:
        """Value the rows of one chunk."""
        QUEUE_WAIT.labels(queue=str(QueueName.BULK)).observe(max(time.time() - enqueued_at, 0.0))
        services().value.run(BatchId(batch_id), chunk)

    @app.task(name=str(TaskName.ASSEMBLE_BATCH), soft_time_limit=SOFT_S, time_limit=HARD_S)
    def assemble(batch_id: str) -> None:
        """Put the parts of a batch together and end it."""
        services().assemble.run(BatchId(batch_id))

    @app.task(name=str(TaskName.MAKE_EXPORT), soft_time_limit=SOFT_S, time_limit=HARD_S)
    def make_form(batch_id: str, table: str, form: str) -> None:
        """Make another form of a result table."""
        services().forms.run(BatchId(batch_id), ResultTable(table), ExportFormat(form))


class Sweeper(Protocol):
    """Looks for work that was lost and sends it again."""

    def sweep(self) -> int:
        """How many pieces of work were sent again."""
        ...


def register_maintenance_tasks(app: Celery, sweeps: Callable[[], Sequence[Sweeper]]) -> None:
    """Define the tasks on `app`; `sweeps` gives those of the running process."""

    @app.task(name=str(TaskName.SWEEP))
    def sweep() -> None:
        """Send lost jobs and chunks again."""
        failures = []
        for each in sweeps():
            try:
                each.sweep()
            except Exception as error:  # noqa: BLE001 - the other sweeps come first
                failures.append(error)
        if failures:
            raise failures[0]
