"""Celery tasks: each takes ids and calls one service of its process.

Arguments that a newer version has added to a message are ignored (`**_`).
"""

import time
from typing import Any

from celery import Celery

from shared.domain.batch import ResultTable
from shared.domain.errors import BrokerUnavailable
from shared.domain.files.exports import Export
from shared.domain.ids import BatchId, JobId
from shared.logging import get_logger
from shared.metrics import QUEUE_WAIT
from shared.queue.celery_app import LONG_TASK_TIME_LIMIT_S
from shared.queue.names import QueueName, TaskName
from worker.container import WorkerProcess
from worker.direct_tasks import DirectTasks

SOFT_S, HARD_S = LONG_TASK_TIME_LIMIT_S - 30, LONG_TASK_TIME_LIMIT_S
"""Limits of the tasks that may read a whole file, as the import of a workbook does."""

log = get_logger("tasks")


def register_tasks(app: Celery, process: WorkerProcess) -> None:
    """Define all tasks on `app`; they call the services of `process`."""
    _register_valuation_tasks(app, process)
    _register_batch_tasks(app, process)
    _register_model_tasks(app, process)

    # Without events: Flower would show little else.
    @app.task(name=str(TaskName.SWEEP), send_events=False)
    def sweep() -> None:
        """Send lost jobs and chunks again."""
        failures = []
        for sweeper in process.services.sweepers:
            try:
                sweeper.sweep()
            except BrokerUnavailable as error:  # the next sweep follows
                log.warning("sweep_interrupted", error=str(error))
            except Exception as error:  # noqa: BLE001 - the other sweeps come first
                failures.append(error)
        if failures:
            raise failures[0]


def _message_id(app: Celery) -> str:
    """The id of the message whose task runs."""
    if DirectTasks.message_id:
        return DirectTasks.message_id
    task = app.current_task
    return (task and task.request.id) or ""


def _register_valuation_tasks(app: Celery, process: WorkerProcess) -> None:
    # Callers wait: Celery's own way of running a task takes as long as a valuation. Direct tasks
    # must not read `task.request`.
    @app.task(name=str(TaskName.VALUE_CARS), is_direct=True)
    def value_cars(group_id: str, reply_to: str, items: list[bytes], **_: Any) -> None:
        """Value a micro-batch of cars that callers wait for."""
        process.services.valuation.value_micro_batch(group_id, reply_to, items)

    @app.task(name=str(TaskName.VALUE_JOBS), is_direct=True)
    def value_jobs(job_ids: list[str], enqueued_at: float, **_: Any) -> None:
        """Value the cars of stored jobs."""
        with process.services.work.taken(_message_id(app)):
            process.services.valuation.value_jobs(list(map(JobId, job_ids)), enqueued_at)

    @app.task(name=str(TaskName.VALUE_JOB))
    def value_job(job_id: str, enqueued_at: float, **_: Any) -> None:
        """Value the cars of a stored job."""
        with process.services.work.taken(_message_id(app)):
            process.services.valuation.value_jobs([JobId(job_id)], enqueued_at)

    @app.task(name=str(TaskName.VALUE_LIST))
    def value_list(job_id: str, enqueued_at: float, **_: Any) -> None:
        """Value the cars of a stored job that takes long."""
        with process.services.work.carried_out(_message_id(app)):
            process.services.valuation.value_jobs([JobId(job_id)], enqueued_at, QueueName.BULK)


def _register_model_tasks(app: Celery, process: WorkerProcess) -> None:
    @app.task(name=str(TaskName.WATCH_MODEL))
    def watch_model(**_: Any) -> None:
        """Measure drift and the errors on reported sales; roll a worse version back."""
        process.services.model_watch.run()

    @app.task(name=str(TaskName.RETRAIN_MODEL), soft_time_limit=SOFT_S, time_limit=HARD_S)
    def retrain_model(**_: Any) -> None:
        """Retrain if it is due."""
        process.services.retraining.run()


def _register_batch_tasks(app: Celery, process: WorkerProcess) -> None:
    @app.task(name=str(TaskName.SPLIT_BATCH), soft_time_limit=SOFT_S, time_limit=HARD_S)
    def split(batch_id: str, **_: Any) -> None:
        """Cut the next slice of an uploaded file into chunks."""
        step = process.services.traces.step(TaskName.SPLIT_BATCH, BatchId(batch_id))
        with process.services.work.carried_out(_message_id(app)), step:
            process.services.split.run(BatchId(batch_id))

    @app.task(name=str(TaskName.PREVIEW_DRAFT), soft_time_limit=90, time_limit=120)
    def preview(draft_id: str, **_: Any) -> None:
        """Read the beginning of an uploaded file."""
        process.services.previews.run(BatchId(draft_id))

    @app.task(name=str(TaskName.VALUE_CHUNK))
    def value_chunk(batch_id: str, chunk: int, enqueued_at: float, **_: Any) -> str | None:
        """Value the rows of one chunk; the result, which Flower shows, says which."""
        QUEUE_WAIT.labels(queue=str(QueueName.BULK)).observe(max(time.time() - enqueued_at, 0.0))
        step = process.services.traces.step(
            TaskName.VALUE_CHUNK, BatchId(batch_id), chunk, enqueued_at
        )
        with process.services.work.carried_out(_message_id(app)), step:
            rows = process.services.value.run(BatchId(batch_id), chunk)
        return f"rows {rows.start} to {rows.stop - 1}" if rows else None

    @app.task(name=str(TaskName.ASSEMBLE_BATCH), soft_time_limit=SOFT_S, time_limit=HARD_S)
    def assemble(batch_id: str, **_: Any) -> None:
        """Put the parts of a batch together and end it."""
        step = process.services.traces.step(TaskName.ASSEMBLE_BATCH, BatchId(batch_id))
        with process.services.work.carried_out(_message_id(app)), step:
            process.services.assemble.run(BatchId(batch_id))

    @app.task(name=str(TaskName.MAKE_EXPORT), soft_time_limit=SOFT_S, time_limit=HARD_S)
    def make_export(
        batch_id: str, table: str, export: dict[str, Any], revision: str, **_: Any
    ) -> None:
        """Write a result table in another form."""
        with process.services.work.carried_out(_message_id(app)):
            process.services.exports.run(
                BatchId(batch_id), ResultTable(table), Export.from_json(export), revision
            )
