"""Fair queue in Redis: work waits per caller, and a bounded number of messages is in flight."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgpack

from shared.domain.clock import Clock
from shared.domain.ids import CallerId
from shared.queue.names import QueueName
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.fair_queues import scripts
from shared.redis.pipelines import Command, PipelinedCommands, ScriptCall, run_script

WORKER_TIMEOUT_S = 15
"""As in the scripts: an announcement of this age counts no more."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WorkItem:
    """Work that waits for its turn: one message, or jobs that share a message with others."""

    id: str
    """What is to be done; an item that waits already is not entered again."""
    caller: CallerId
    group: str
    """The groups of a caller take turns: its batches, and its jobs together."""
    cost_s: float
    """Expected duration, seconds; the caller is charged the true one when it is released."""
    is_slow: bool
    """Whether it takes so long that one process must always be left free of such items."""
    lease_s: float
    """Time after which it no longer counts as in flight, seconds."""
    queue: str
    """List of the Celery queue of the message (`keys.queue`)."""
    token: str
    """Id of the message, under which the item is released."""
    message: bytes
    jobs: Sequence[str] = ()
    """Ids of the jobs that the message names, if it may be joined with another one."""
    effort: int = 0
    """Of these jobs, in cars without extras."""
    extra_s: float = 0.0
    """What these jobs cost in the message of another item, seconds."""


class QueueLoad(NamedTuple):
    """How many items wait."""

    total: int
    own: int
    """Those of one caller."""


class FairQueue:
    """Shares the processes of one kind of worker between callers, by start-time fair queueing.

    Items in flight are bounded by the places that the workers announce. One place is never given to
    slow items, and none of several active callers gets all places, so that a short item waits for
    no long one. While the broker is down, every method raises
    `BrokerUnavailable` within two seconds.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
        name: of the queue.
        knows_callers: whether the rules about slow items and active callers apply. Without them the
            queue costs less, which is for items of milliseconds.
    """

    def __init__(
        self, client: RedisClient, clock: Clock, name: str, *, knows_callers: bool = True
    ) -> None:
        self._client = client
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._prefix = keys.fair_queue(name)
        self._waiting = keys.fair_waiting(name)
        self._knows_callers = int(knows_callers)
        self._enter, self._release, self._dispatch, self._forget = (
            client.register_script(scripts.HEAD + source)
            for source in (
                scripts.ENTER,
                scripts.RELEASE,
                scripts.DISPATCH,
                scripts.FORGET_IN_FLIGHT,
            )
        )

    def enter(self, item: WorkItem) -> bool:
        """Enter an item, and send it if it is its turn; False if it waits already.

        An item that is in flight is sent again: its message was lost, or it has to run once more.
        """
        return bool(self._run(self.entering(item)))

    def entering(self, item: WorkItem) -> ScriptCall:
        """The call of `enter`, for a pipeline."""
        members: dict[str, Any] = {
            "id": item.id,
            "caller": item.caller,
            "group": item.group,
            "class": "slow" if item.is_slow else "quick",
            "cost": item.cost_s,
            "lease": item.lease_s,
            "queue": item.queue,
            "token": item.token,
            "message": item.message,
        }
        if item.jobs:
            members |= {"ids": list(item.jobs), "effort": item.effort, "extra": item.extra_s}
        # The server's Lua library knows no binary type.
        return self._call(self._enter, msgpack.packb(members, use_bin_type=False))

    def release(self, token: str, took_s: float | None = None) -> None:
        """Record that an item is no longer in flight, and send the next ones.

        Args:
            token: of the item; others than those in flight are ignored.
            took_s: what it took, seconds; None: as expected.
        """
        self._run(self._call(self._release, token, "" if took_s is None else took_s))

    def dispatch(self) -> int:
        """Send the items whose turn it is; return how many."""
        return self._run(self._call(self._dispatch))

    def forget_in_flight(self, except_for: Iterable[str] = ()) -> None:
        """Count nothing as in flight any more, because all workers have died.

        Args:
            except_for: tokens of the items whose messages are on the queue.
        """
        self._run(self._call(self._forget, msgpack.packb(list(except_for))))

    def announce(self, worker: str, places: int) -> None:
        """Record that a worker is alive and that this many items may be in flight for it."""
        with broker_errors():
            self._client.hset(f"{self._prefix}workers", worker, f"{places}:{self._clock()}")

    def withdraw(self, worker: str) -> None:
        """Remove the announcement of a worker that stops."""
        with broker_errors():
            self._client.hdel(f"{self._prefix}workers", worker)

    def places(self) -> int:
        """Number of items that the live workers take at once; 0: no worker has announced any."""
        with broker_errors():
            announced = self._client.hvals(f"{self._prefix}workers")
        now, places = self._clock(), 0
        for each in announced:
            count, _, at = each.decode().partition(":")
            if abs(now - float(at)) < WORKER_TIMEOUT_S:
                places += int(count)
        return places

    def load(self, caller: CallerId) -> QueueLoad:
        """The items that wait, and those of one caller among them."""
        commands: list[Command] = [
            ("ZCARD", self._waiting),
            ("HGET", f"{self._prefix}counts", caller),
        ]
        with broker_errors(), PipelinedCommands(self._connections, *commands) as asked:
            total, own = asked.responses()
        return QueueLoad(total, int(own or 0))

    @contextlib.contextmanager
    def release_concurrently(self, token: str) -> Iterator[None]:
        """Release an item on entry; the response is read on exit, so nobody waits for it."""
        call = self._call(self._release, token, "")
        with contextlib.ExitStack() as stack:
            with broker_errors():
                sent = stack.enter_context(PipelinedCommands(self._connections, call))
            yield
            with broker_errors():
                sent.responses()

    def _run(self, call: ScriptCall) -> int:
        with broker_errors():
            return int(run_script(self._connections, call))

    def _call(self, script: Any, *arguments: Any) -> ScriptCall:
        names = (self._prefix, keys.CALLER_WEIGHTS)
        return ScriptCall(script, names, (self._clock(), self._knows_callers, *arguments))


class FairQueues:
    """The two fair queues: short jobs, and what the bulk workers do.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
    """

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self.interactive = FairQueue(client, clock, str(QueueName.INTERACTIVE), knows_callers=False)
        self.bulk = FairQueue(client, clock, str(QueueName.BULK))

    def of(self, queue: QueueName) -> FairQueue:
        """The fair queue in front of a Celery queue; the bulk workers serve two of these."""
        return self.interactive if queue is QueueName.INTERACTIVE else self.bulk

    def announce(self, worker: str, queues: Iterable[str], processes: int) -> None:
        """Record that a worker with this many processes is alive.

        A message of short jobs is released as it is taken: while a process carries out one, the
        next one waits for it in the queue, and jobs that come later gather behind that.
        """
        if QueueName.INTERACTIVE in queues:
            self.interactive.announce(worker, processes)
        if QueueName.BULK in queues:
            self.bulk.announce(worker, processes)

    def withdraw(self, worker: str) -> None:
        """Remove the announcement of a worker that stops."""
        self.interactive.withdraw(worker)
        self.bulk.withdraw(worker)
