"""An exact amount of work for a cluster, and the workers that are killed meanwhile."""

import contextlib
import http.client
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.cluster.cluster import WORKER_KINDS, Cluster
from benchmarks.cluster.hosts import Host
from benchmarks.faults.load import RETRY_S, Caller
from benchmarks.faults.work import Kind, Ledger

CAR_THREADS = 3
"""Callers of single cars for each API."""
HIT_EVERY = 10
"""One in so many cars is one of a few that are mostly cached."""
KILL_PAUSE_S = 2.5


@dataclass(frozen=True)
class Volume:
    """Amounts of work: single cars, lists, rows of one batch. At least so many are accepted."""

    cars: int
    lists: int
    rows: int


@contextlib.contextmanager
def submitting(cluster: Cluster, ledger: Ledger, volume: Volume) -> Iterator[threading.Event]:
    """Submit work through both APIs while the block runs, and then until all of it is accepted.

    Yields:
        An event that is set when all is accepted.
    """
    accepted, stopping = threading.Event(), threading.Event()
    first = len(ledger.works)

    def count(*kinds: Kind) -> int:
        return sum(work.kind in kinds for work in ledger.works[first:])

    def has_cars() -> bool:
        return count(Kind.CAR, Kind.JOB) >= volume.cars

    def has_lists() -> bool:
        return count(Kind.LIST) >= volume.lists

    def has_batch() -> bool:
        return count(Kind.BATCH) > 0 or not volume.rows

    def caller(api: Host) -> Caller:
        return Caller(api.url, api.key, ledger, stopping, volume.rows)

    batch = caller(cluster.apis[0]).batch
    threads = [_thread(batch, has_batch, ledger, Kind.BATCH)]
    for api in cluster.apis:
        threads += [
            _thread(_mixed(caller(api)), has_cars, ledger, Kind.CAR) for _ in range(CAR_THREADS)
        ]
        threads.append(_thread(caller(api).list, has_lists, ledger, Kind.LIST))
    waiter = threading.Thread(target=_set_after, args=(threads, accepted))
    waiter.start()
    try:
        yield accepted
    finally:
        waiter.join()


def _mixed(caller: Caller) -> Callable[[], None]:
    numbers = itertools.count()
    return lambda: caller.hit() if next(numbers) % HIT_EVERY == 0 else caller.single()


def _thread(
    call: Callable[[], None], is_done: Callable[[], bool], ledger: Ledger, kind: Kind
) -> threading.Thread:
    """Start a thread that submits until there is enough."""

    def submit() -> None:
        while not is_done():
            try:
                call()
            except (OSError, http.client.HTTPException) as error:
                ledger.refuse(kind, f"connection: {type(error).__name__}")
                time.sleep(RETRY_S)

    thread = threading.Thread(target=submit)
    thread.start()
    return thread


def _set_after(threads: list[threading.Thread], event: threading.Event) -> None:
    for thread in threads:
        thread.join()
    event.set()


def kill_workers(cluster: Cluster, rounds: int) -> int:
    """SIGKILL processes of both worker hosts in turn, and start each again at once.

    The next kind is killed when all processes serve again: on a busy machine, a worker that is
    killed while it starts would never work.

    Args:
        cluster: whose workers.
        rounds: how often each is killed.

    Returns:
        How many processes were killed.
    """
    for _ in range(rounds):
        for kind in WORKER_KINDS:
            for worker in cluster.workers:
                time.sleep(KILL_PAUSE_S)
                worker.restart(kind)
            cluster.await_complete()
    return rounds * len(WORKER_KINDS) * len(cluster.workers)
