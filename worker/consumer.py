"""Celery's consumer, with one difference: it collects the events of tasks before it sends them."""

import contextlib
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer
from kombu.asynchronous.hub import Hub

EVENT_INTERVAL_S = 0.5
"""How much later Flower learns of a task; the events carry the times at which they happened."""


class EventCollectingConsumer(Consumer):
    """Sends the events of many tasks as one message, twice a second at most.

    Celery sends those of each task as soon as it is done, before it looks for the next one: for a
    task of a millisecond that is a fifth of the worker's time, and Flower pays for each message.
    """

    hub: Any
    connection_errors: tuple[type[Exception], ...]
    _flush_events: Callable[[], None]
    _is_flush_due = False

    def register_with_event_loop(self, hub: Hub) -> None:
        """Start anew with a connection: the timer of the last one is gone."""
        self._is_flush_due = False
        super().register_with_event_loop(hub)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # as Celery's own
        """See to it that what has been collected is sent before long."""
        if self.hub and not self._is_flush_due:
            self._is_flush_due = True
            self.hub.call_later(EVENT_INTERVAL_S, self._flush_collected)

    def stop(self) -> None:
        """Send what is left, then stop."""
        with contextlib.suppress(*self.connection_errors):
            self._flush_events()
        super().stop()

    def _flush_collected(self, *_: Any) -> None:
        self._is_flush_due = False
        self._flush_events()
