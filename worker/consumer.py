"""Celery's consumer, less busy: events are collected, no notes are struck that are not."""

import contextlib
import heapq
import warnings
from collections.abc import Callable
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer
from kombu import Message
from kombu.asynchronous.hub import Hub
from kombu.asynchronous.timer import Timer

EVENT_FLUSH_INTERVAL_S = 0.5
"""How much later Flower learns of a task; the events carry the times at which they happened."""


TIMER_PURGE_INTERVAL_S = 10.0
"""How often timers of tasks that have ended are thrown away."""


class EventBatchingConsumer(Consumer):
    """Spares the broker what nobody needs, for tasks that take a millisecond.

    Events of many tasks are sent as one message, twice a second at most. Celery sends those of each
    task as soon as it is done, before it looks for the next one: that is a fifth of the worker's
    time, and Flower pays for each message.

    A message of a queue without notes (`no_ack`) is not acknowledged. Kombu's Redis transport
    strikes it off its list in one more transaction, although it never stood there.

    The timers of ended tasks are thrown away. Each task has one for its time limit, which kombu
    would keep, half a kilobyte each, until the limit of a task that has long ended: an hour for
    some. The children of the pool are forked with them.
    """

    app: Any
    hub: Any
    connection_errors: tuple[type[Exception], ...]
    _flush_events: Callable[[], None]
    _is_flush_due = False

    def create_task_handler(self, *args: Any) -> Callable[[Message], None]:
        """What is called with each message."""
        handle = super().create_task_handler(*args)
        queues = self.app.amqp.queues

        def receive(message: Any) -> None:
            # A message of somebody else may name no queue of ours: that is for Celery to judge.
            queue = queues.get(message.delivery_info.get("routing_key"))
            if queue is not None and queue.no_ack:
                message.ack = _noop_ack
            handle(message)

        return receive

    def register_with_event_loop(self, hub: Hub) -> None:
        """Start anew with a connection: the timer of the last one is gone."""
        self._is_flush_due = False
        hub.call_repeatedly(TIMER_PURGE_INTERVAL_S, purge_canceled_timers, hub.timer)
        super().register_with_event_loop(hub)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # as Celery's own
        """See to it that what has been collected is sent before long."""
        if self.hub and not self._is_flush_due:
            self._is_flush_due = True
            self.hub.call_later(EVENT_FLUSH_INTERVAL_S, self._flush_buffered_events)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """As Celery's, without eight lines on what it may do with running tasks one day."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def stop(self) -> None:
        """Send what is left, then stop."""
        with contextlib.suppress(*self.connection_errors):
            self._flush_events()
        super().stop()

    def _flush_buffered_events(self, *_: Any) -> None:
        self._is_flush_due = False
        self._flush_events()


def purge_canceled_timers(timer: Timer) -> None:
    """Throw away the timers that were called off; to be called in the thread that fires them."""
    queue = timer._queue  # noqa: SLF001 - kombu drops them as they come due, and in no other way
    queue[:] = [each for each in queue if not each.entry.canceled]
    heapq.heapify(queue)


def _noop_ack(**_: Any) -> None:
    """Acknowledge what the broker has forgotten already."""
