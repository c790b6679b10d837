"""Reads what the messages on the bulk and control queues stand for."""

import base64
from typing import Any, NamedTuple

import msgpack
import orjson

from shared.queue.names import QueueName, TaskName
from shared.redis.connections import RedisClient, broker_errors

_STEPS = {str(TaskName.SPLIT_BATCH): "split", str(TaskName.ASSEMBLE_BATCH): "assemble"}
"""The steps that are not a chunk, by task."""


class WaitingWork(NamedTuple):
    """The messages on the bulk and control queues, and what they stand for."""

    messages: set[str]
    """Ids of the messages."""
    steps: set[tuple[str, str]]
    """Batch and step of each step of a batch."""
    jobs: set[str]
    """Ids of the jobs."""


def read_waiting(client: RedisClient) -> WaitingWork:
    """Read the queues.

    Args:
        client: connection to the broker instance.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    found = WaitingWork(set(), set(), set())
    for queue in (QueueName.BULK, QueueName.CONTROL):
        with broker_errors():
            messages = client.lrange(str(queue), 0, -1)
        for message in messages:
            message_id, task, kwargs = _parse(message)
            found.messages.add(message_id)
            if "job_id" in kwargs:
                found.jobs.add(kwargs["job_id"])
            elif "batch_id" in kwargs:
                found.steps.add((kwargs["batch_id"], _STEPS.get(task) or str(kwargs.get("chunk"))))
    return found


def _parse(message: bytes) -> tuple[str, str, dict[str, Any]]:
    """Id, task and arguments of a message; empty if it is not one of this service."""
    try:
        document = orjson.loads(message)
        _, kwargs, _ = msgpack.unpackb(base64.b64decode(document["body"]))
        return document["headers"]["id"], document["headers"]["task"], dict(kwargs)
    except (ValueError, KeyError, TypeError, msgpack.UnpackException):
        return "", "", {}
