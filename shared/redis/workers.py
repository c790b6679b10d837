"""Heartbeats of the workers and lengths of their queues."""

import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

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


def host_identity(home: Path) -> str:
    """Tell a host from others that may have the same name: its kernel, and the folder of its home.

    Two homes on one machine are two hosts. After a restart of the machine the identity is another
    one; nothing of before is alive then.
    """
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    try:
        found = home.stat()
        folder = f"{found.st_dev}:{found.st_ino}"
    except OSError:
        folder = str(home)
    return hashlib.blake2b(f"{boot}|{folder}".encode(), digest_size=6).hexdigest()


def process_start(pid: int) -> int | None:
    """The time at which a process of this machine began, in ticks of its kernel; None: it is dead.

    0 on systems that do not say.
    """
    stat = Path(f"/proc/{pid}/stat")
    try:
        # The name of the program, in parentheses, may contain anything.
        fields = stat.read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else 0
    return None if fields[0] in "ZX" else int(fields[19])


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
        """Remove the heartbeats of dead processes of a node of this host when a new one starts.

        Those of other hosts stay, although they may have the same node name, and those of processes
        that live. Workers of an earlier release name no host: theirs are removed.

        Args:
            own: the new process.
            lives: whether a process of this host lives.

        Returns:
            Number of other workers by queue.
        """
        with broker_errors():
            members = self._client.zrange(keys.WORKERS, 0, -1)
            dead = [one for one in members if _is_predecessor(_name_of(one), own, lives)]
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


def _is_predecessor(
    found: WorkerName, own: WorkerName, lives: Callable[[WorkerName], bool]
) -> bool:
    if found.node != own.node or found == own:
        return False
    return not found.host or (found.host == own.host and not lives(found))
