"""Runs short tasks of a solo worker in the call that reads their messages.

For each message Celery makes a request, a context, two promises and three events, and passes them
through its execution pool and its tracer before the task begins. A task of a millisecond takes
nothing of what these offer: no result, retries, time limit, acknowledgement or later start.
"""

import base64
import time
from typing import Any, ClassVar

import msgpack
import orjson
import structlog
from celery import Task, signals
from celery.app.task import Context
from celery.app.trace import TraceInfo
from celery.concurrency import solo
from celery.states import FAILURE
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.utils.encoding import safe_repr, safe_str

from shared.queue.shown_arguments import shown_arguments

_UNUSED_HEADERS = ("eta", "expires", "shadow")
"""Headers of what only Celery's own way of running a task does."""
_CELERY_SIGNALS = (
    signals.task_received,
    signals.task_success,
    signals.task_internal_error,
    signals.task_unknown,
)
_LOG_CONTEXT_SIGNALS = (signals.task_prerun, signals.task_postrun)


class DirectTasks:
    """Carries out messages of the tasks that are defined with `is_direct=True`.

    Seen from outside it is Celery's way: the counts of `inspect stats`, the events with the times
    at which they happened, revoked tasks, the log's context, failures and their signal. Celery
    itself carries out every message that uses more, those of a task with a rate limit, all while
    `revoke_by_stamped_headers` is in effect, and all if another library (tracing, error reports)
    listens to its signals.

    Args:
        consumer: of a worker that is connected.
        own_receivers: receivers of `task_prerun` and of `task_postrun` that only bind the context
            of the log, which this class does itself.
    """

    message_id: ClassVar[str] = ""
    """Of the message that this process carries out in this way; empty if there is none."""

    def __init__(self, consumer: Consumer, own_receivers: int) -> None:
        given: Any = consumer  # its attributes are unknown to Celery's types
        self._events = given.event_dispatcher
        self._rate_limits = given.task_buckets
        self._tasks: dict[str, Task[Any, Any]] = {}
        if isinstance(given.pool, solo.TaskPool) and not _has_listeners(own_receivers):
            self._tasks = {
                name: task
                for name, task in given.app.tasks.items()
                if getattr(task, "is_direct", False)
            }

    def run(self, message: dict[str, Any]) -> bool:
        """Carry out the task of a message as kombu's Redis transport stores it.

        Returns:
            False if Celery has to do it; nothing has been done then.
        """
        received_at = time.time()
        try:
            headers, properties = message["headers"], message["properties"]
            task = self._tasks.get(headers["task"])
            if task is None or not _is_plain(headers):
                return False
            message_id: str = headers["id"]
            args, kwargs, further = _arguments(
                message["body"], message["content-type"], properties.get("body_encoding")
            )
            is_plain = not any(further.values())
            is_limited = message_id in state.revoked or self._rate_limits.get(task.name)
        except (AttributeError, KeyError, TypeError, ValueError):
            return False
        if not is_plain or is_limited or state.revoked_stamps:
            return False
        state.total_count[task.name] += 1
        state.all_total_count[0] += 1
        structlog.contextvars.bind_contextvars(task=task.name, task_id=message_id)
        started_at, started = time.time(), time.monotonic()
        failure = None
        DirectTasks.message_id = message_id
        try:
            task.run(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - as Celery, which reports it
            context = Context(headers, args=(), kwargs={}, called_directly=False)
            failure = TraceInfo(FAILURE, error).handle_error_state(
                task, context, call_errbacks=False
            )
        finally:
            DirectTasks.message_id = ""
            structlog.contextvars.unbind_contextvars("task", "task_id")
        runtime = time.monotonic() - started
        if self._events and self._events.enabled and task.send_events:
            times = (received_at, started_at, runtime)
            self._send_events(task, headers, kwargs, times, failure)
        return True

    def _send_events(
        self,
        task: Any,
        headers: dict[str, Any],
        kwargs: dict[str, Any],
        times: tuple[float, float, float],
        failure: Any,
    ) -> None:
        """Send what Celery sends before, at the start and at the end of a task, after its end."""
        send, message_id = self._events.send, headers["id"]
        received_at, started_at, runtime = times
        send(
            "task-received",
            uuid=message_id,
            name=task.name,
            args=headers.get("argsrepr", ""),
            # Of the message as it is here: the fair queue has joined several.
            kwargs=shown_arguments(kwargs),
            root_id=headers.get("root_id"),
            parent_id=headers.get("parent_id"),
            retries=headers.get("retries", 0),
            eta=None,
            expires=None,
            timestamp=received_at,
        )
        send("task-started", uuid=message_id, timestamp=started_at)
        if failure is None:
            send("task-succeeded", uuid=message_id, result="None", runtime=runtime)
        else:
            send(
                "task-failed",
                uuid=message_id,
                exception=safe_repr(failure.exception),
                traceback=safe_str(failure.traceback),
            )


def _arguments(body: str, content_type: str, encoding: str | None) -> Any:
    """Read the body of a message in one of the forms that `TaskSender` writes.

    Raises:
        ValueError: it has another form, or types of kombu that JSON does not have.
    """
    match content_type, encoding:
        case "application/x-msgpack", "base64":
            return msgpack.unpackb(base64.b64decode(body))
        case "application/json", None if '"__type__"' not in body:
            return orjson.loads(body)
    raise ValueError(content_type)


def _is_plain(headers: dict[str, Any]) -> bool:
    """Whether a message needs nothing of what only Celery does."""
    return (
        not headers.get("compression")
        and not headers.get("retries")
        and not any(map(headers.get, _UNUSED_HEADERS))
    )


def _has_listeners(own_receivers: int) -> bool:
    """Whether another library listens to the signals that are not sent here."""
    return any(each.receivers for each in _CELERY_SIGNALS) or any(
        len(each.receivers or ()) > own_receivers for each in _LOG_CONTEXT_SIGNALS
    )
