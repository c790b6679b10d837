"""Puts a task on its queue, or says within the broker's timeout that it cannot."""

import base64
import time
from typing import Any

import msgpack
import orjson

from shared.adapters.redis_ahead import PipelinedCommands
from shared.adapters.redis_client import RedisClient, broker_errors
from shared.adapters.redis_direct import ConnectionCache
from shared.adapters.redis_workers import ENQUEUED_AT_HEADER
from shared.celery_app import make_celery
from shared.domain.ids import BatchId, JobId, new_id
from shared.names import TASK_QUEUES, TaskName

_NO_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
"""Last part of the body of every task message: what is to be called after it."""


class TaskSender:
    """Publishes messages, each in one command.

    Celery composes one message of each task, once, on a broker in memory; sending fills in what
    differs: ids, time and arguments. That is a sixth of what `send_task` costs, which composes,
    routes and declares anew for each message.

    Args:
        client: connection to the broker instance.
    """

    def __init__(self, client: RedisClient) -> None:
        self._connections = ConnectionCache(client)
        self._templates = _compose_templates()

    def send(self, task: TaskName, kwargs: dict[str, Any]) -> None:
        """Publish a task; returns once the broker has it.

        Raises:
            BrokerUnavailable: it does not take the message.
        """
        message = _render_message(self._templates[task], kwargs)
        lpush = ("LPUSH", str(TASK_QUEUES[task]), message)
        with broker_errors(), PipelinedCommands(self._connections, lpush) as sent:
            sent.responses()

    def send_job(self, job_id: JobId, *, is_long: bool) -> None:
        """Publish the message of a stored job; a long one must not keep single cars waiting."""
        task = TaskName.VALUE_LIST if is_long else TaskName.VALUE_JOB
        self.send(task, {"job_id": job_id, "enqueued_at": time.time()})

    def send_split(self, batch_id: BatchId) -> None:
        """Publish the first step of a batch."""
        self.send(TaskName.SPLIT_BATCH, {"batch_id": batch_id})


def _compose_templates() -> dict[TaskName, dict[str, Any]]:
    """A message of each task, as Celery and kombu write it."""
    app = make_celery("memory://")
    templates = {}
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        for task, queue in TASK_QUEUES.items():
            app.send_task(
                str(task),
                connection=connection,
                # Flower and the logs show these texts: a caller's car is none of their business.
                argsrepr="",
                kwargsrepr="",
            )
            templates[task] = channel._get(str(queue))  # noqa: SLF001 - as kombu's consumers do
    return templates


def _render_message(template: dict[str, Any], kwargs: dict[str, Any]) -> bytes:
    """A message of its own from the template of its task."""
    message_id = new_id()
    own_headers = {"id": message_id, "root_id": message_id, ENQUEUED_AT_HEADER: time.time()}
    own_properties = {"correlation_id": message_id, "delivery_tag": message_id}
    body = msgpack.packb([[], kwargs, _NO_EMBED])
    return orjson.dumps(
        template
        | {
            "body": base64.b64encode(body).decode(),
            "headers": template["headers"] | own_headers,
            "properties": template["properties"] | own_properties,
        }
    )
