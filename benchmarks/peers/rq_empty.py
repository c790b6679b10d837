"""An RQ job that does nothing, on one SimpleWorker, RQ's fastest worker (no fork per job).

The client: `python -m benchmarks.peers.rq_empty SECONDS`.
"""

import os

from redis import Redis
from rq import Queue

from benchmarks.scenarios.one_client import main


def nothing() -> None:
    """Do nothing."""


def round_trip(queue: Queue) -> None:
    """Send one job and wait for its result.

    Raises:
        RuntimeError: there is no result after 30 seconds.
    """
    # By name: the worker could not import `__main__.nothing`.
    job = queue.enqueue("benchmarks.peers.rq_empty.nothing", result_ttl=60)
    if job.latest_result(timeout=30) is None:
        raise RuntimeError("no result within 30 s")


if __name__ == "__main__":
    rq_queue = Queue("empty", connection=Redis.from_url(os.environ["BENCH_REDIS_URL"]))
    main(lambda: round_trip(rq_queue))
