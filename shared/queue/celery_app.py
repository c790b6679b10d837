"""The Celery application; each setting stands with its reason."""

from urllib.parse import urlsplit

from celery import Celery
from kombu import Queue

from shared.queue.names import TASK_QUEUES, QueueName, TaskName

TASK_TIME_LIMIT_S = 300
"""Most tasks are never near this long: a chunk takes well under a second."""

LONG_TASK_TIME_LIMIT_S = 3600
"""For those that go through a whole file: ten million rows take minutes."""

VISIBILITY_TIMEOUT_S = LONG_TASK_TIME_LIMIT_S + 900
"""A message that is not acknowledged for so long is delivered again: it must outlast any task,
and the time for which a message waits after being prefetched. What a dead worker held does not
wait for it: leases send that again."""

SWEEP_INTERVAL_S = 5.0


def broker_url(redis_url: str) -> str:
    """The Redis URL in kombu's spelling, which has its own for Unix sockets."""
    if not redis_url.startswith("unix://"):
        return redis_url
    parts = urlsplit(redis_url)
    credentials = f"{parts.netloc}" if parts.netloc else ""
    return f"redis+socket://{credentials}{parts.path}"


def _queue(name: QueueName) -> Queue:
    """A queue; messages that somebody waits for are not acknowledged.

    Kombu delivers an unacknowledged message again after the visibility timeout, more than an hour:
    nobody waits that long for a group, and a job's lease has long sent it again. Noting and
    acknowledging each message costs a sixth of a valuation.
    """
    return Queue(str(name), no_ack=name is QueueName.INTERACTIVE)


def make_celery(redis_url: str, *, reply_timeout_s: float = 3.0) -> Celery:
    """A configured application; it connects at its first use.

    Args:
        redis_url: `redis://`, `rediss://` or `unix://` URL of the broker.
        reply_timeout_s: how long the broker may take to answer one command.
    """
    app = Celery("carprice", set_as_current=False)
    app.conf.update(
        broker_url=broker_url(redis_url),
        # Replies travel on a list per API process: a result backend would subscribe per call.
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_queues=[_queue(queue) for queue in QueueName],
        task_default_queue=str(QueueName.CONTROL),
        task_create_missing_queues=False,
        task_routes={str(task): {"queue": str(queue)} for task, queue in TASK_QUEUES.items()},
        # msgpack: 1,000 rows of 30 columns take 0.6 ms against 19 ms as JSON. Never pickle.
        task_serializer="msgpack",
        accept_content=["msgpack", "json"],
        result_serializer="msgpack",
        # A worker that dies gives its message back (see `_queue`); tasks are idempotent by id.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A prefetched message only ages towards the visibility timeout.
        worker_prefetch_multiplier=1,
        # For the pool of the bulk worker; a solo worker has no second process that could watch.
        task_time_limit=TASK_TIME_LIMIT_S,
        task_soft_time_limit=TASK_TIME_LIMIT_S - 30,
        # A frozen or absent broker is reported within two seconds, not after retries.
        task_publish_retry=False,
        # Without these three, a Redis that is out of memory or slow to start ends the worker.
        broker_connection_retry_on_startup=True,
        broker_channel_error_retry=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=1.0,
        broker_pool_limit=8,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            # The default looks for lost messages every 100 seconds only: ten times this interval.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "health_check_interval": 25,
            # Without it a publish to a frozen Redis hangs for ever.
            "socket_timeout": reply_timeout_s,
            "socket_connect_timeout": 1,
            "socket_keepalive": not redis_url.startswith("unix://"),
            # One queue must not starve the other in a worker that reads two.
            "queue_order_strategy": "round_robin",
        },
        # A worker that is told to stop waits for its task; one that is told twice, this long.
        worker_soft_shutdown_timeout=20,
        worker_enable_soft_shutdown_on_idle=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Flower shows tasks by these events; arguments never travel in them.
        worker_send_task_events=True,
        task_send_sent_event=False,
        event_queue_expires=60,
        worker_hijack_root_logger=False,
        beat_schedule={
            "sweep": {
                "task": str(TaskName.SWEEP),
                "schedule": SWEEP_INTERVAL_S,
                # A sweep that nobody took in time is not needed: the next one is on its way.
                "options": {"expires": SWEEP_INTERVAL_S},
            }
        },
        enable_utc=True,
        timezone="UTC",
    )
    return app
