"""A Dramatiq actor that does nothing, in one process with one thread.

The client: `python -m benchmarks.peers.dramatiq_empty SECONDS`.
"""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.scenarios.one_client import main

URL = os.environ["BENCH_REDIS_URL"]
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def nothing() -> bool:
    """Do nothing; the result shows that the actor has run."""
    return True


if __name__ == "__main__":
    main(lambda: nothing.send().get_result(block=True, timeout=30_000))
