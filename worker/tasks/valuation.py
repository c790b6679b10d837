"""Tasks that value cars in groups and jobs."""

from collections.abc import Callable

from celery import Celery

from shared.domain.ids import JobId
from shared.names import QueueName, TaskName
from worker.services.valuation import ValuationService


def register(app: Celery, service: Callable[[], ValuationService]) -> None:
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
