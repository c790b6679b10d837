"""Celery's consumer as it is used here: events travel together, what has no note is not struck."""

import json

import pytest
from celery import Celery
from celery.worker.consumer import Consumer
from kombu import Message, Queue
from kombu.asynchronous import Hub

import worker.lifecycle
from worker.lifecycle import EventBatchingConsumer, purge_canceled_timers, show_arguments


class Events:
    """Counts how often events are sent."""

    flushes = 0

    def flush(self):
        self.flushes += 1


@pytest.fixture
def consumer():
    made = object.__new__(EventBatchingConsumer)  # its constructor wants a whole worker
    made.hub = Hub()
    vars(made)["event_dispatcher"] = Events()  # set by Celery's blueprint, unknown to its types
    return made


def test_the_events_of_many_tasks_are_sent_at_once(consumer):
    for _ in range(5):
        consumer.on_send_event_buffered()
    assert len(consumer.hub.timer) == 1
    consumer._flush_buffered_events()
    assert consumer.event_dispatcher.flushes == 1
    consumer.on_send_event_buffered()
    assert len(consumer.hub.timer) == 2


def test_after_a_lost_connection_events_are_sent_again(consumer):
    consumer.on_send_event_buffered()
    consumer.hub.timer.clear()  # as Celery does when it loses its connection
    consumer.blueprint = type("Blueprint", (), {"send_all": lambda *_, **__: None})()
    consumer.register_with_event_loop(consumer.hub)
    others = len(consumer.hub.timer)
    consumer.on_send_event_buffered()
    assert len(consumer.hub.timer) == others + 1


def test_timers_of_ended_tasks_are_forgotten_and_the_others_fire_in_order(consumer):
    """Time limits are such timers: each task has one, which is called off as the task ends."""
    fired = []
    timer = consumer.hub.timer
    entries = [timer.call_after(-n, fired.append, (n,)) for n in range(100)]
    for n, entry in enumerate(entries):
        if n % 10:
            entry.cancel()
    purge_canceled_timers(timer)
    assert len(timer) == 10
    for _ in range(10):
        consumer.hub.fire_timers()
    assert fired == list(range(90, -1, -10))


def test_the_event_loop_forgets_ended_tasks_again_and_again(consumer, monkeypatch):
    monkeypatch.setattr(worker.lifecycle, "TIMER_PURGE_INTERVAL_S", 1e-9)
    consumer.blueprint = type("Blueprint", (), {"send_all": lambda *_, **__: None})()
    consumer.register_with_event_loop(consumer.hub)
    for _ in range(3):
        entries = [consumer.hub.call_later(3600, print) for _ in range(50)]
        for entry in entries:
            entry.cancel()
        consumer.hub.fire_timers(max_timers=1)
        # The purge itself and the sign of life of the main loop.
        assert len(consumer.hub.timer) == 2


@pytest.mark.parametrize(("queue", "acknowledged"), [("noted", True), ("fleeting", False)])
def test_only_what_was_noted_is_acknowledged(consumer, queue, acknowledged, monkeypatch):
    monkeypatch.setattr(
        Consumer, "create_task_handler", lambda _: lambda message: message.ack(multiple=False)
    )
    consumer.app = Celery(broker="memory://", set_as_current=False)
    consumer.app.conf.task_queues = [Queue("noted"), Queue("fleeting", no_ack=True)]
    with consumer.app.connection_for_write() as connection:
        channel = connection.default_channel
        connection.SimpleQueue(queue).put("hello")
        message = channel.Message(channel._get(queue), channel=channel)
        consumer.create_task_handler()(message)
    assert message.acknowledged is acknowledged


def test_a_message_that_names_no_queue_of_ours_is_left_to_celery(consumer, monkeypatch):
    seen = []
    monkeypatch.setattr(Consumer, "create_task_handler", lambda _: seen.append)
    consumer.app = Celery(broker="memory://", set_as_current=False)
    consumer.app.conf.task_queues = [Queue("fleeting", no_ack=True)]
    for routing in ({"routing_key": "elsewhere"}, {}):
        message = Message(delivery_info=routing)
        consumer.create_task_handler()(message)
        assert seen.pop() is message


def test_the_ids_of_a_message_are_shown_and_an_unreadable_one_is_left_to_celery():
    kwargs = {"batch_id": "b", "chunk": 3, "enqueued_at": 1.0, "export": {"columns": ["Vendeur"]}}
    body = json.dumps([[], kwargs, {}])
    message = Message(body, content_type="application/json", content_encoding="utf-8", headers={})
    show_arguments(message)
    assert message.headers == {"kwargsrepr": "{'batch_id': 'b', 'chunk': 3}"}
    damaged = Message("{", content_type="application/json", content_encoding="utf-8", headers={})
    show_arguments(damaged)
    assert damaged.headers == {}
