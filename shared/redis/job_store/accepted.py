"""Accepted jobs that no change of the primary loses: replicas have them, and so has this process.

A replica that has a job is not always the one that becomes primary, and a primary that has just
been replaced goes on accepting for a moment, with the replicas that it still has. So a process that
waits for replicas also keeps what it accepted lately, and stores what a new primary lacks again.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import JobId
from shared.logging import get_logger
from shared.redis import keys
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors
from shared.redis.job_store import scripts
from shared.redis.pipelines import Command, ScriptCall, raise_errors, run_script, run_scripts

WAIT_MS: Final = 1000
"""How long replicas may take to get a job: less than a command may take."""

KEPT_S: Final = 30.0
"""How long accepted jobs are kept while the primary stays the same."""

KEPT_MAX_BYTES: Final = 128_000_000
BLOCK: Final = 256
"""Jobs that one command asks for or stores."""

LIMIT_INDEX: Final = 3
"""Place of the limit of the caller in a record of `scripts.CREATE`."""

log = get_logger("jobs")


class _Kept(NamedTuple):
    job_id: JobId
    accepted_at: float
    record: bytes


def create_call(
    script: Any, packed: bytes, *, now: float, lease_s: float, keep_s: float
) -> ScriptCall:
    """The call of `scripts.CREATE`.

    Args:
        script: registered.
        packed: the records of the jobs.
        now: Unix time, seconds.
        lease_s: an open job counts as overdue after this time without a state change.
        keep_s: how long it is known that a job existed.
    """
    prefixes = [
        keys.job(""), keys.job_tombstone(""), keys.jobs_by_caller(""), keys.ended_usage("")
    ]  # fmt: skip
    return ScriptCall(
        script,
        [keys.OPEN_JOBS, keys.JOB_ORDER, keys.OPEN_USAGE],
        [now, now + lease_s, keep_s, *prefixes, packed],
    )


class AcceptedJobs:
    """Waits for replicas, and keeps the jobs that were accepted lately.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
        replicas: how many must have a job before it is accepted; at least 1.
        lease_s: as `create_call`.
        keep_s: as `create_call`.
    """

    def __init__(
        self, client: RedisClient, clock: Clock, *, replicas: int, lease_s: float, keep_s: float
    ) -> None:
        self._connections = ConnectionCache(client)
        self._clock = clock
        self._replicas = replicas
        self._lease_s = lease_s
        self._keep_s = keep_s
        self._script = client.register_script(scripts.CREATE)
        self.on_keep: Callable[[], None] = lambda: None
        """Called when jobs are kept."""
        self._kept: deque[_Kept] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def wait(self) -> Command:
        """The command that waits until the replicas have what was written before it."""
        return ("WAIT", self._replicas, WAIT_MS)

    def confirm(self, reached: Any) -> None:
        """Check the answer to `wait`.

        Raises:
            BrokerUnavailable: fewer replicas have it.
        """
        if not isinstance(reached, int) or reached < self._replicas:
            raise BrokerUnavailable(reason=f"{reached} of {self._replicas} replicas have the job")

    def keep(self, jobs: Mapping[JobId, Sequence[Any]]) -> None:
        """Keep stored jobs: the record of each, as `scripts.CREATE` takes it."""
        now = self._clock()
        self.on_keep()
        for job_id, record in jobs.items():
            # It was admitted: no limit applies when it is stored again.
            given = [*record[:LIMIT_INDEX], 0, *record[LIMIT_INDEX + 1 :]]
            packed = msgpack.packb(given, use_bin_type=False)
            with self._lock:
                self._kept.append(_Kept(job_id, now, packed))
                self._bytes += len(packed)
                while self._bytes > KEPT_MAX_BYTES:
                    self._bytes -= len(self._kept.popleft().record)

    def forget_old(self) -> None:
        """Forget what was accepted before `KEPT_S`; for calls while the primary stays the same."""
        until = self._clock() - KEPT_S
        with self._lock:
            while self._kept and self._kept[0].accepted_at < until:
                self._bytes -= len(self._kept.popleft().record)

    def store_again(self) -> list[JobId]:
        """Store the kept jobs that the broker does not know; return them, to be queued.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with self._lock:
            kept = list(self._kept)
        stored: list[JobId] = []
        for block in _blocks(self._missing(kept)):
            array = msgpack.Packer().pack_array_header(len(block))
            call = create_call(
                self._script,
                array + b"".join(each.record for each in block),
                now=self._clock(),
                lease_s=self._lease_s,
                keep_s=self._keep_s,
            )
            with broker_errors():
                found = run_script(self._connections, call)
            stored += [each.job_id for each, one in zip(block, found, strict=True) if one == 1]
        if stored:
            log.warning("jobs_stored_again", count=len(stored))
        return stored

    def _missing(self, kept: Sequence[_Kept]) -> Iterator[_Kept]:
        for block in _blocks(kept):
            asked = [("EXISTS", keys.job_tombstone(each.job_id)) for each in block]
            with broker_errors():
                known = raise_errors(run_scripts(self._connections, *asked))
            yield from (each for each, is_known in zip(block, known, strict=True) if not is_known)


def _blocks(items: Iterable[_Kept]) -> Iterator[list[_Kept]]:
    block: list[_Kept] = []
    for item in items:
        block.append(item)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block
