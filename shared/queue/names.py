"""Names of queues and tasks, on which the processes must agree."""

from enum import StrEnum


class QueueName(StrEnum):
    """Celery queues; `Procfile` and `docker-compose.yml` are tested against them."""

    INTERACTIVE = "interactive"
    """Valuations that callers wait for."""
    BULK = "bulk"
    """Chunks and exports of batches, and jobs of many cars."""
    CONTROL = "control"
    """Short work: split a batch, assemble it, preview a draft, sweep lost work."""


class TaskName(StrEnum):
    """Celery tasks, named `<service>.<verb>_<object>`."""

    VALUE_CARS = "valuation.value_cars"
    VALUE_JOBS = "valuation.value_jobs"
    """Short jobs, many in one message."""
    VALUE_JOB = "valuation.value_job"
    """One short job; sent while workers of a release without `VALUE_JOBS` run."""
    VALUE_LIST = "valuation.value_list"
    SPLIT_BATCH = "batch.split"
    VALUE_CHUNK = "batch.value_chunk"
    ASSEMBLE_BATCH = "batch.assemble"
    MAKE_EXPORT = "batch.make_form"
    PREVIEW_DRAFT = "batch.preview"
    SWEEP = "maintenance.sweep"
    WATCH_MODEL = "maintenance.watch_model"
    RETRAIN_MODEL = "maintenance.retrain_model"


TASK_QUEUES: dict[TaskName, QueueName] = {
    TaskName.VALUE_CARS: QueueName.INTERACTIVE,
    TaskName.VALUE_JOBS: QueueName.INTERACTIVE,
    TaskName.VALUE_JOB: QueueName.INTERACTIVE,
    TaskName.VALUE_LIST: QueueName.BULK,
    TaskName.SPLIT_BATCH: QueueName.CONTROL,
    TaskName.VALUE_CHUNK: QueueName.BULK,
    TaskName.ASSEMBLE_BATCH: QueueName.CONTROL,
    TaskName.MAKE_EXPORT: QueueName.BULK,
    TaskName.PREVIEW_DRAFT: QueueName.CONTROL,
    TaskName.SWEEP: QueueName.CONTROL,
    TaskName.WATCH_MODEL: QueueName.CONTROL,
    TaskName.RETRAIN_MODEL: QueueName.CONTROL,
}
"""The queue of each task."""
