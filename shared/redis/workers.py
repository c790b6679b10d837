"""Heartbeats of the workers and lengths of their queues."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from shared.domain.clock import Clock
from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

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


class WorkerRegistry:
    """Records the heartbeats of workers and reads the queues."""

    def __init__(self, client: RedisClient, clock: Clock = time.time) -> None:
        self._client = client
        self._clock = clock
        self._protocol = OLDEST_PROTOCOL
        self._protocol_read_at = float("-inf")

    def heartbeat(self, name: str, queues: Iterable[str]) -> None:
        """Record a heartbeat of the worker `name`, which serves `queues`.

        A name consists of the Celery node name, a colon and an id of the process.
        """
        now = self._clock()
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zadd(keys.WORKERS, {_member(name, queues): now})
            pipeline.zremrangebyscore(keys.WORKERS, "-inf", now - HEARTBEAT_RETENTION_S)
            pipeline.execute()

    def remove_predecessors(self, node: str) -> Mapping[str, int]:
        """Remove the heartbeats of dead processes of a node when a new one starts.

        Args:
            node: Celery node name, which no two live workers share.

        Returns:
            Number of other workers by queue.
        """
        with broker_errors():
            members = self._client.zrange(keys.WORKERS, 0, -1)
            dead = [member for member in members if _node_of(member) == node]
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


def _node_of(member: bytes) -> str:
    """The node name in a member of the sorted set of heartbeats."""
    return member.decode().split("|", 1)[1].rpartition(":")[0]
