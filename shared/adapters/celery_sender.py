"""Puts a task on its queue, or says within the broker's timeout that it cannot."""

import time
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from shared.adapters.redis_workers import ENQUEUED_AT_HEADER
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import BatchId, JobId
from shared.names import TaskName


class TaskSender:
    """Publishes messages.

    Args:
        app: the Celery application.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, task: TaskName, kwargs: dict[str, Any]) -> None:
        """Publish a task; returns once the broker has it.

        Raises:
            BrokerUnavailable: it does not take the message.
        """
        try:
            self._app.send_task(
                str(task),
                kwargs=kwargs,
                headers={ENQUEUED_AT_HEADER: time.time()},
                # Flower and the logs show these texts: a caller's car is none of their business.
                argsrepr="",
                kwargsrepr="",
            )
        except (OperationalError, OSError, redis.RedisError) as error:
            raise BrokerUnavailable(reason=str(error)) from error

    def send_job(self, job_id: JobId) -> None:
        """Publish the message of a stored job."""
        self.send(TaskName.VALUE_JOB, {"job_id": job_id, "enqueued_at": time.time()})

    def send_split(self, batch_id: BatchId) -> None:
        """Publish the first step of a batch."""
        self.send(TaskName.SPLIT_BATCH, {"batch_id": batch_id})
