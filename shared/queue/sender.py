"""Messages of the queue: tasks sent to the workers, and the replies to micro-batches."""

import base64
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgpack
import orjson

from shared.domain import errors
from shared.domain.errors import DomainError, UnreadableRecord, ValuationFailed, record_errors
from shared.domain.ids import JobId, ValuationId, new_id
from shared.domain.valuation import Estimate
from shared.metrics import RECORDS_UNREADABLE
from shared.queue.celery_app import make_celery
from shared.queue.names import TASK_QUEUES, TaskName
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.pipelines import Command, ScriptCall, raise_errors, run_scripts
from shared.redis.workers import ENQUEUED_AT_HEADER

REPLY_LIST_TTL_S = 60
"""A reply list is deleted this long after the last reply."""

MAX_QUEUED_REPLIES = 1000
"""Most replies on one list; beyond that the oldest are dropped. A process that reads its list has
only a few, so only a process that is stuck, whose callers have left, can reach the limit."""

EstimateResult: TypeAlias = Estimate | DomainError
RequestResult: TypeAlias = tuple[ValuationId, EstimateResult]

Send: TypeAlias = Callable[[TaskName, dict[str, Any]], None]
"""Puts a task with its arguments on the queue, as `TaskSender.send`; raises `BrokerUnavailable`."""


def push_reply(
    connections: ConnectionCache,
    reply_to: str,
    group_id: str,
    answered: Sequence[RequestResult],
    first: Sequence[ScriptCall | Command] = (),
) -> None:
    """Send the reply to a micro-batch, by one round trip.

    Args:
        connections: to the broker instance.
        reply_to: the reply list of the API process.
        group_id: id of the micro-batch.
        answered: id and result of each request.
        first: commands to execute before the reply can be read.

    Raises:
        BrokerUnavailable: the broker does not take it.
    """
    packed = msgpack.packb([group_id, [_to_wire(*each) for each in answered]])
    commands: list[ScriptCall | Command] = [
        *first,
        ("LPUSH", reply_to, packed),
        ("LTRIM", reply_to, 0, MAX_QUEUED_REPLIES - 1),
        ("EXPIRE", reply_to, REPLY_LIST_TTL_S),
    ]
    with broker_errors():
        raise_errors(run_scripts(connections, *commands))


def unpack_reply(packed: bytes) -> tuple[str, list[RequestResult]]:
    """Id of the micro-batch, and id and result of its requests.

    Raises:
        UnreadableRecord: it is no reply; an estimate that cannot be read is the result of its
            request only.
    """
    with record_errors():
        group_id, answered, *_ = msgpack.unpackb(packed)
        return group_id, [_from_wire(*each[:3]) for each in answered]


def _to_wire(valuation_id: ValuationId, result: EstimateResult) -> list[Any]:
    if isinstance(result, Estimate):
        return [valuation_id, result.to_wire(), None]
    return [valuation_id, None, result.code]


def _from_wire(
    valuation_id: ValuationId, estimate: list[Any] | None, code: str | None
) -> RequestResult:
    if not estimate:
        return valuation_id, error_from_code(code or "")
    try:
        with record_errors():
            return valuation_id, Estimate.from_wire(estimate)
    except UnreadableRecord as error:
        RECORDS_UNREADABLE.labels(record="reply").inc()
        return valuation_id, error


def error_from_code(code: str) -> DomainError:
    """The domain error that a worker reported by its code."""
    for kind in _REPORTED_ERRORS:
        if kind.code == code:
            return kind()
    return ValuationFailed(reason=code)


_REPORTED_ERRORS: tuple[type[DomainError], ...] = (
    *errors.TEMPORARY_ERRORS,
    errors.UnreadableRecord,
    errors.NewerRecord,
)

_NO_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
"""Last part of the body of every task message: no further tasks."""


class TaskSender:
    """Publishes messages, each in one command.

    Celery writes one message of each task, once, to a broker in memory. Sending copies that and
    fills in ids, time and arguments, which takes a sixth of the time of `send_task`.
    """

    def __init__(self, client: RedisClient) -> None:
        self._connections = ConnectionCache(client)
        self._templates = _compose_templates()

    def send(self, task: TaskName, kwargs: dict[str, Any]) -> None:
        """Publish a task; returns once the broker has it.

        Raises:
            BrokerUnavailable: it does not take the message.
        """
        self.publish(self.command(task, kwargs))

    def command(self, task: TaskName, kwargs: dict[str, Any]) -> Command:
        """The command that publishes a task."""
        _, message = self.render(task, kwargs)
        return ("LPUSH", keys.queue(TASK_QUEUES[task]), message)

    def publish(self, *calls: ScriptCall | Command) -> None:
        """Run the calls that publish tasks, by one round trip.

        Raises:
            BrokerUnavailable: the broker does not take one of the messages.
        """
        with broker_errors():
            raise_errors(run_scripts(self._connections, *calls))

    def render(self, task: TaskName, kwargs: dict[str, Any]) -> tuple[str, bytes]:
        """The id of a new message of a task, and the message as it lies in the queue."""
        message_id = new_id()
        body = base64.b64encode(msgpack.packb([[], kwargs, _NO_EMBED])).decode()
        return message_id, _render_message(self._templates[task], message_id, body)

    def render_jobs(self, job_ids: Sequence[JobId]) -> tuple[str, bytes]:
        """As `render`, of `VALUE_JOBS`.

        Its body is JSON without a further encoding: the script of the fair queue joins messages.
        """
        message_id = new_id()
        kwargs = {"job_ids": list(job_ids), "enqueued_at": time.time()}
        body = orjson.dumps([[], kwargs, _NO_EMBED]).decode()
        message = _render_message(self._templates[TaskName.VALUE_JOBS], message_id, body)
        return message_id, message


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
                # Flower and the logs show these texts, and must not show the cars of callers.
                argsrepr="",
                kwargsrepr="",
                serializer="json" if task is TaskName.VALUE_JOBS else "msgpack",
            )
            templates[task] = channel._get(str(queue))  # noqa: SLF001 - as kombu's consumers do
    templates[TaskName.VALUE_JOBS]["properties"].pop("body_encoding")
    return templates


def _render_message(template: dict[str, Any], message_id: str, body: str) -> bytes:
    """Fill in the template of a task."""
    own_headers = {"id": message_id, "root_id": message_id, ENQUEUED_AT_HEADER: time.time()}
    own_properties = {"correlation_id": message_id, "delivery_tag": message_id}
    return orjson.dumps(
        template
        | {
            "body": body,
            "headers": template["headers"] | own_headers,
            "properties": template["properties"] | own_properties,
        }
    )
