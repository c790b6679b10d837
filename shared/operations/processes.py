"""The processes of the workers: alive or not, of which release, and what they carry out."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

from shared.domain.clock import Clock
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.owners import SILENT_AFTER_S
from shared.redis.workers import HEARTBEAT_TIMEOUT_S, OLDEST_PROTOCOL, WorkerName

MAX_STEPS_OF_BATCH = 64


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a process carries out: a message with valuations."""

    message: str
    """Its id."""
    for_s: float
    """For how long, seconds."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkerState:
    """One worker, which may have several processes."""

    node: str
    """Celery node name."""
    queues: Sequence[str]
    is_alive: bool
    seen_s: float
    """Since its last heartbeat, seconds."""
    protocol: int
    """Number of the newest formats that it reads: workers of one release have the same."""
    processes: int
    """Those that carry out tasks and are alive."""
    work: Sequence[Work]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StepState:
    """A step of a batch that a bulk worker has, or that waits for one."""

    batch_id: str
    step: str
    """A chunk's number, `split` or `assemble`."""
    left_s: float
    """Until its lease ends and it is sent again, seconds."""


class ProcessReader:
    """Reads heartbeats, claims and leases from the broker; each call raises `BrokerUnavailable`.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def workers(self) -> list[WorkerState]:
        """All workers of the last hour, by name."""
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zrange(keys.WORKERS, 0, -1, withscores=True)
            pipeline.zrange(keys.OWNERS, 0, -1, withscores=True)
            pipeline.hgetall(keys.OWNER_WORK)
            registered, owners, working = pipeline.execute()
        now = self._clock()
        alive = [name.decode() for name, at in owners if abs(now - at) < SILENT_AFTER_S]
        by_place = _by_place(alive)
        claims = {owner.decode(): claim.decode() for owner, claim in working.items()}
        # A worker that was started again has registered twice: the last one counts.
        latest = {_place(member): (member, at) for member, at in sorted(registered, key=_time)}
        return [
            _worker(
                place[0],
                member.decode(),
                now - at,
                [
                    (owner, _work(claims[owner], now) if owner in claims else None)
                    for owner in by_place.get(place, ())
                ],
            )
            for place, (member, at) in sorted(latest.items())
        ]

    def steps(self) -> list[StepState]:
        """The steps of open batches that are leased, the oldest batch first."""
        with broker_errors():
            batches = [one.decode() for one in self._client.zrange(keys.OPEN_BATCHES, 0, 99)]
            pipeline = self._client.pipeline(transaction=False)
            for batch in batches:
                name = keys.batch_leases(batch)
                pipeline.zrange(name, 0, MAX_STEPS_OF_BATCH - 1, withscores=True)
            found = pipeline.execute() if batches else []
        now = self._clock()
        return [
            StepState(batch_id=batch, step=step.decode(), left_s=end - now)
            for batch, steps in zip(batches, found, strict=True)
            for step, end in steps
        ]


def _time(registered: tuple[bytes, float]) -> float:
    return registered[1]


def _place(member: bytes) -> tuple[str, str]:
    """Node and host in a registration: workers of two hosts may have one node name."""
    name = WorkerName.parse(member.decode().split("|")[1])
    return name.node, name.host


def _by_place(owners: Sequence[str]) -> Mapping[tuple[str, str], list[str]]:
    """Owners by node and host; the processes of a pool belong to the node of their parent."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for owner in owners:
        node, _, process = owner.rpartition(":")
        # Those of an earlier release name no host.
        host = process.split("-")[0] if process.count("-") > 1 else ""
        found[node, host].append(owner)
    for node, host in [each for each in found if each[0].endswith(".pool")]:
        found[node.removesuffix(".pool"), host] = found.pop((node, host))
    return found


def _worker(
    node: str, member: str, seen_s: float, owners: Sequence[tuple[str, Work | None]]
) -> WorkerState:
    """The state of a worker by its registration and its live processes with their work."""
    queues, _, rest = member.partition("|")
    number = rest.rpartition("|")[2] if "|" in rest else ""
    is_alive = seen_s < HEARTBEAT_TIMEOUT_S
    return WorkerState(
        node=node,
        queues=queues.split(","),
        is_alive=is_alive,
        seen_s=max(0.0, seen_s),
        protocol=int(number) if number.isdigit() else OLDEST_PROTOCOL,
        processes=len(owners) if is_alive else 0,
        work=[work for _, work in owners if work is not None],
    )


def _work(claim: str, now: float) -> Work:
    message, _, at = claim.rpartition(" ")
    return Work(message=message, for_s=max(0.0, now - float(at)))
