"""Tasks of the bulk path: cut a file, value a chunk, put the parts together."""

import time
from collections.abc import Callable
from typing import NamedTuple

from celery import Celery

from shared.celery_app import LONG_TASK_TIME_LIMIT_S
from shared.domain.batch import ExportFormat, ResultTable
from shared.domain.ids import BatchId
from shared.metrics import QUEUE_WAIT
from shared.names import QueueName, TaskName
from worker.services.batch_assemble import BatchAssembler
from worker.services.batch_forms import BatchExporter
from worker.services.batch_split import BatchSplitter
from worker.services.batch_value import BatchValuation


class BatchServices(NamedTuple):
    """What the tasks call."""

    split: BatchSplitter
    value: BatchValuation
    assemble: BatchAssembler
    forms: BatchExporter


SOFT_S, HARD_S = LONG_TASK_TIME_LIMIT_S - 30, LONG_TASK_TIME_LIMIT_S
"""Limits of the tasks that may go through a whole file: a workbook is opened at one go."""


def register(app: Celery, services: Callable[[], BatchServices]) -> None:
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
