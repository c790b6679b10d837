"""Reads what the messages on the bulk and control queues stand for."""

import base64
from typing import Any

import msgpack
import orjson

from shared.queue.names import QueueName, TaskName
from shared.redis.connections import RedisClient, broker_errors

_STEPS = {str(TaskName.SPLIT_BATCH): "split", str(TaskName.ASSEMBLE_BATCH): "assemble"}
"""The steps that are not a chunk, by task."""


def read_waiting(client: RedisClient) -> tuple[set[tuple[str, str]], set[str]]:
    """Batch and step of each waiting step of a batch, and the ids of the waiting jobs.

    Args:
        client: connection to the broker instance.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    steps: set[tuple[str, str]] = set()
    jobs: set[str] = set()
    for queue in (QueueName.BULK, QueueName.CONTROL):
        with broker_errors():
            messages = client.lrange(str(queue), 0, -1)
        for message in messages:
            task, kwargs = _task_of(message)
            if "job_id" in kwargs:
                jobs.add(kwargs["job_id"])
            elif "batch_id" in kwargs:
                steps.add((kwargs["batch_id"], _STEPS.get(task) or str(kwargs.get("chunk"))))
    return steps, jobs


def _task_of(message: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a task; empty if the message is not one of this service."""
    try:
        document = orjson.loads(message)
        _, kwargs, _ = msgpack.unpackb(base64.b64decode(document["body"]))
        return document["headers"]["task"], dict(kwargs)
    except (ValueError, KeyError, TypeError, msgpack.UnpackException):
        return "", {}
