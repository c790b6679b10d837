"""Reads what the messages of the bulk workers stand for: on their queues, and held by them."""

import base64
import re
from typing import Any, NamedTuple

import msgpack
import orjson

from shared.queue.names import QueueName, TaskName
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

_STEPS = {str(TaskName.SPLIT_BATCH): "split", str(TaskName.ASSEMBLE_BATCH): "assemble"}
"""The steps that are not a chunk, by task."""

_ITEM = re.compile(r"([\w.]+):batch_id=(\w+)(?:,chunk=(\d+))?:\d+")
"""Id of a step of a batch in the fair queue; see `WorkSender.send`."""

_UNNAMED = "unacked"
"""Kombu's own name for the messages of workers that are no owners."""

# One script, so that no message is between two of the places.  KEYS: owners, items and tokens of
# the fair queue.  ARGV: prefixes of the messages that owners hold, then the queues.
# Returns messages, kombu's records of messages, ids of what waits, and pairs of what is in flight.
_SNAPSHOT = """
local messages, records = {}, redis.call('HVALS', ARGV[1])
for i = 4, #ARGV do
  for _, each in ipairs(redis.call('LRANGE', ARGV[i], 0, -1)) do messages[#messages + 1] = each end
end
for _, owner in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  messages[#messages + 1] = redis.call('LINDEX', ARGV[2] .. owner, 0) or nil
  for _, each in ipairs(redis.call('HVALS', ARGV[3] .. owner)) do records[#records + 1] = each end
end
return {messages, records, redis.call('HKEYS', KEYS[2]), redis.call('HGETALL', KEYS[3])}
"""


class WaitingWork(NamedTuple):
    """The messages on the bulk and control queues, and what they stand for."""

    messages: set[str]
    """Ids of the messages."""
    steps: set[tuple[str, str]]
    """Batch and step of each step of a batch."""
    jobs: set[str]
    """Ids of the jobs."""

    def add(self, parsed: tuple[str, str, dict[str, Any]]) -> None:
        """Add a message: its id, task and arguments."""
        message_id, task, kwargs = parsed
        self.messages.add(message_id)
        if "job_id" in kwargs:
            self.jobs.add(kwargs["job_id"])
        elif "batch_id" in kwargs:
            self.steps.add((kwargs["batch_id"], _STEPS.get(task) or str(kwargs.get("chunk"))))


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
            messages = client.lrange(keys.queue(queue), 0, -1)
        for message in messages:
            found.add(_parse(message))
    return found


class HeldWork(NamedTuple):
    """What waits in the fair queue of the bulk workers, and the messages that exist of it."""

    work: WaitingWork
    """Messages on the queues or held by a worker; the steps and jobs in the fair queue as well."""
    in_flight: dict[str, str]
    """Items that the fair queue has sent and that are not carried out: id of the message by id."""


def read_held(client: RedisClient) -> HeldWork:
    """Read the queues, the messages that workers hold and the fair queue, at one moment.

    Args:
        client: connection to the broker instance.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    prefix = keys.fair_queue(str(QueueName.BULK))
    names = (keys.OWNERS, f"{prefix}items", f"{prefix}tokens")
    prefixes = (_UNNAMED, keys.popped(""), keys.unacked(""))
    queues = (keys.queue(QueueName.BULK), keys.queue(QueueName.CONTROL))
    with broker_errors():
        messages, records, items, tokens = client.eval(
            _SNAPSHOT, len(names), *names, *prefixes, *queues
        )
    found = WaitingWork(set(), set(), set())
    for message in messages:
        found.add(_parse(message))
    for record in records:
        found.add(_parse_record(record))
    for item in items:
        name = item.decode()
        if (match := _ITEM.fullmatch(name)) is not None:
            found.steps.add((match[2], _STEPS.get(match[1]) or match[3] or ""))
        else:
            found.jobs.add(name)
    pairs = zip(tokens[::2], tokens[1::2], strict=True)
    return HeldWork(found, {item.decode(): token.decode() for item, token in pairs})


def _parse_record(record: bytes) -> tuple[str, str, dict[str, Any]]:
    """As `_parse`, of a record of kombu: message, exchange and queue."""
    try:
        return _parse_document(orjson.loads(record)[0])
    except (ValueError, LookupError, TypeError):
        return "", "", {}


def _parse(message: bytes) -> tuple[str, str, dict[str, Any]]:
    """Id, task and arguments of a message; empty if it is not one of this service."""
    try:
        return _parse_document(orjson.loads(message))
    except (ValueError, LookupError, TypeError):
        return "", "", {}


def _parse_document(document: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    try:
        _, kwargs, _ = msgpack.unpackb(base64.b64decode(document["body"]))
        return document["headers"]["id"], document["headers"]["task"], dict(kwargs)
    except (ValueError, LookupError, TypeError, msgpack.UnpackException):
        return "", "", {}
