"""Heartbeats of the workers and lengths of their queues."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from shared.domain.clock import Clock
from shared.host import host_identity, process_start
from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.owners import Liveness, states_of_owners

HEARTBEAT_TIMEOUT_S = 15.0
"""A worker without a heartbeat for this time counts as dead."""

HEARTBEAT_RETENTION_S = 3600.0

PROTOCOL = 5
"""Number of the formats that this release reads: 2 since job payloads may lie in the blob store and
stored records carry a schema version, 3 since a message may name many jobs and workers record
the end of work that has a callback, 4 since the requests of a list may be columns, 5 since options
of a batch may name the row of its header, or units. Workers that announce none read the formats
of number 1."""

OLDEST_PROTOCOL = 1

PROTOCOL_CACHE_S = 2.0
"""How long `WorkerRegistry.protocol` returns the same number without asking the broker."""

ENQUEUED_AT_HEADER = "enqueued_at"
"""Message header with the Unix time at which the message was sent."""


class WorkerName(NamedTuple):
    """The name of a worker process, which no other process of any host has."""

    node: str
    """Celery node name; workers of two hosts with the same host name may share it."""
    host: str
    """Identity of the host, see `host_identity`; empty: of a worker of an earlier release."""
    pid: int
    start: int
    """Time at which the process began, which tells it from a later one with the same number."""

    @classmethod
    def of_this_process(cls, node: str, home: Path) -> "WorkerName":
        """The name of this process, which serves the node."""
        return cls(node, host_identity(home), os.getpid(), process_start(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> "WorkerName":
        """The name that `str` has made, or one of an earlier release: node and number."""
        node, _, rest = text.rpartition(":")
        parts = rest.split("-")
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():  # noqa: PLR2004
            return cls(node, parts[0], int(parts[1]), int(parts[2]))
        return cls(node, "", 0, 0)

    def __str__(self) -> str:
        return f"{self.node}:{self.host}-{self.pid}-{self.start}"

    @property
    def place(self) -> str:
        """What this process and its successors on the same host have in common."""
        return f"{self.node}:{self.host}"


def is_alive(worker: WorkerName) -> bool:
    """Whether a worker process of this host lives."""
    return process_start(worker.pid) == worker.start


class WorkerRegistry:
    """Records the heartbeats of workers and reads the queues."""

    def __init__(self, client: RedisClient, clock: Clock = time.time) -> None:
        self._client = client
        self._clock = clock
        self._protocol = OLDEST_PROTOCOL
        self._protocol_read_at = float("-inf")

    def heartbeat(self, name: str, queues: Iterable[str]) -> None:
        """Record a heartbeat of the worker `name`, which serves `queues`.

        A name is a `WorkerName` as text.
        """
        now = self._clock()
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zadd(keys.WORKERS, {_member(name, queues): now})
            pipeline.zremrangebyscore(keys.WORKERS, "-inf", now - HEARTBEAT_RETENTION_S)
            pipeline.execute()

    def remove_predecessors(
        self, own: WorkerName, lives: Callable[[WorkerName], bool] = is_alive
    ) -> Mapping[str, int]:
        """Remove the heartbeats of dead processes of a node when a new one starts.

        Two hosts may have the same node name, so equal names prove nothing: a process is dead if
        the kernel says so and it is not subscribed as an owner (`shared.redis.owners`), or, if it
        is one of another host, if the broker takes its owner for dead. Workers of an earlier
        release name no host: theirs are removed.

        Args:
            own: the new process.
            lives: whether a process of this host lives.

        Returns:
            Number of other workers by queue.
        """
        with broker_errors():
            members = self._client.zrange(keys.WORKERS, 0, -1)
            earlier = {one: name for one in members if _has_place_of(name := _name_of(one), own)}
            states = states_of_owners(self._client) if earlier else {}
            dead = [
                one
                for one, name in earlier.items()
                if _is_dead(name, own, lives, _states_of(name, states))
            ]
            if dead:
                self._client.zrem(keys.WORKERS, *dead)
        return self.live_counts()

    def unregister(self, name: str, queues: Iterable[str]) -> None:
        """Remove the heartbeat of a worker that stops."""
        with broker_errors():
            self._client.zrem(keys.WORKERS, _member(name, queues))

    def live_counts(self) -> Mapping[str, int]:
        """Number of live workers by queue."""
        with broker_errors():
            members = self._client.zrange(
                keys.WORKERS, self._clock() - HEARTBEAT_TIMEOUT_S, "+inf", byscore=True
            )
        counts = Counter(
            queue for member in members for queue in member.decode().split("|")[0].split(",")
        )
        return {str(queue): counts[str(queue)] for queue in QueueName}

    def protocol(self) -> int:
        """The newest formats that every live worker reads; `PROTOCOL` says what the numbers mean.

        A writer uses a format only if this is at least the format's number. If no worker is alive,
        the workers of the last hour decide; without any it is the oldest number, which every
        worker reads.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        now = self._clock()
        if not 0 <= now - self._protocol_read_at < PROTOCOL_CACHE_S:
            with broker_errors():
                found = self._client.zrange(keys.WORKERS, 0, -1, withscores=True)
            live = [member for member, at in found if at >= now - HEARTBEAT_TIMEOUT_S]
            announced = map(_protocol_of, live or [member for member, _ in found])
            self._protocol = min(announced, default=OLDEST_PROTOCOL)
            self._protocol_read_at = now
        return self._protocol

    def check_writable(self) -> None:
        """Write to the broker: one that is read-only or out of memory answers a PING.

        Raises:
            BrokerUnavailable: it does not answer or refuses writes.
            BrokerFull: it is out of memory.
        """
        with broker_errors():
            self._client.set(keys.WRITE_PROBE, 1, ex=60)

    def waiting(self) -> tuple[Mapping[str, int], Mapping[str, float]]:
        """Messages by queue, and age of the oldest message by queue, seconds.

        What waits in a fair queue counts for the Celery queue that its workers serve.
        """
        queues = [str(queue) for queue in QueueName]
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            for queue in queues:
                pipeline.llen(keys.queue(queue))
                pipeline.lindex(keys.queue(queue), -1)
                pipeline.zcard(keys.fair_waiting(queue))
                pipeline.zrange(keys.fair_waiting(queue), 0, 0, withscores=True)
            answers = pipeline.execute()
        found = zip(queues, *(answers[part::4] for part in range(4)), strict=True)
        lengths, ages = {}, {}
        for queue, messages, last, waiting, first in found:
            lengths[queue] = messages + waiting
            waited_s = self._clock() - first[0][1] if first else 0.0
            ages[queue] = max(self._age(last), waited_s)
        return lengths, ages

    def _age(self, message: bytes | None) -> float:
        if message is None:
            return 0.0
        sent_at = json.loads(message)["headers"].get(ENQUEUED_AT_HEADER)
        return max(0.0, self._clock() - sent_at) if sent_at else 0.0


def _member(name: str, queues: Iterable[str]) -> str:
    """The member of the sorted set of heartbeats that stands for a worker.

    Its queues, its name and its protocol, separated by `|`. Workers of the first protocol write no
    third part, and read the node name up to the last colon of the rest.
    """
    return f"{','.join(sorted(queues))}|{name}|{PROTOCOL}"


def _protocol_of(member: bytes) -> int:
    _, _, number = member.decode().split("|", 1)[1].partition("|")
    return int(number) if number.isdigit() else OLDEST_PROTOCOL


def _name_of(member: bytes) -> WorkerName:
    """The worker in a member of the sorted set of heartbeats."""
    return WorkerName.parse(member.decode().split("|", 1)[1].partition("|")[0])


def _has_place_of(found: WorkerName, own: WorkerName) -> bool:
    return found.node == own.node and found != own


def _states_of(worker: WorkerName, states: Mapping[str, Liveness]) -> set[Liveness]:
    """What the broker knows of the owner with which the main process of a worker holds messages."""
    start = f"{worker.place}-{worker.pid}-"
    return {state for owner, state in states.items() if owner.startswith(start)}


def _is_dead(
    found: WorkerName,
    own: WorkerName,
    lives: Callable[[WorkerName], bool],
    states: set[Liveness],
) -> bool:
    if not found.host:
        return True
    if found.host == own.host:
        # A machine that was copied with its memory has the same identity: its worker subscribes.
        return not lives(found) and Liveness.ALIVE not in states
    return states <= {Liveness.DEAD}
