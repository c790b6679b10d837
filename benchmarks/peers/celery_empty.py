"""A Celery task that does nothing, on one solo worker: the cost of a round trip alone.

The client: `python -m benchmarks.peers.celery_empty SECONDS`.
"""

import os

from celery import Celery

from benchmarks.scenarios.one_client import main

celery = Celery(
    "empty", broker=os.environ["BENCH_CELERY_URL"], backend=os.environ["BENCH_CELERY_URL"]
)
celery.conf.task_default_queue = "empty"


@celery.task(name="empty.nothing")
def nothing() -> None:
    """Do nothing."""


if __name__ == "__main__":
    main(lambda: nothing.apply_async().get(timeout=30))
