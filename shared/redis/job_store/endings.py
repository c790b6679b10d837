"""Ends of jobs: the scripts that end many at once, and what they publish to waiting callers."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgpack

from shared.domain.clock import Clock
from shared.domain.errors import record_errors
from shared.domain.ids import JobId
from shared.domain.job import Job, JobEnd, JobState
from shared.domain.lists.estimates import prices_of
from shared.metrics import JOBS, PREDICTIONS, observe_valuations
from shared.redis import keys
from shared.redis.connections import RedisClient
from shared.redis.job_store import scripts
from shared.redis.job_store.records import EMPTY_PAYLOAD, unpack_estimates
from shared.redis.pipelines import ScriptCall

PUBLISHED_MAX_BYTES = 4_096
"""Largest packed result that is published with the end of its job; others are read from the store.
It holds sixteen plain cars, or one with an extra."""

MESSAGE_BYTES = 65_536
"""A message is sent when the results in it exceed this size."""

RATE_WINDOW_S = 30
"""Completions are counted per window of this length; the rate is that of the last two."""

USAGE_PERIODS = 24
"""The usage of ended jobs is counted in this many periods per retention time."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class JobEnded:
    """The end of a job, as published: with its request, everything that its caller is told."""

    id: JobId
    state: JobState
    """A terminal one."""
    finished_at: float
    """Unix time, seconds."""
    started_at: float | None
    attempts: int
    error: str | None
    """Message code of the failure."""
    cancel_requested: bool
    result: bytes | None
    """The packed estimates; None if they are large: then the job has to be read from the store."""

    def applied_to(self, job: Job) -> Job:
        """The job as it is stored now.

        Args:
            job: the same job before its end.

        Raises:
            UnreadableRecord: the estimates cannot be read, or are not in the message.
        """
        with record_errors():
            if self.result is None:
                raise ValueError("no result")
            return dataclasses.replace(
                job,
                state=self.state,
                finished_at=self.finished_at,
                started_at=self.started_at,
                attempts=self.attempts,
                error=self.error,
                cancel_requested=self.cancel_requested,
                estimates=unpack_estimates(self.result or EMPTY_PAYLOAD),
            )


def read_ends(data: bytes) -> list[JobEnded]:
    """The ends in a message of `keys.ENDED_JOBS_CHANNEL`.

    Raises:
        UnreadableRecord: it is no such message.
    """
    with record_errors():
        return [_read_end(*each[:7]) for each in msgpack.unpackb(data, raw=True)]


def _read_end(  # noqa: PLR0917 - the values of a stored record
    job_id: bytes,
    state: bytes,
    times: Sequence[bytes | Literal[False]],
    attempts: int,
    error: bytes,
    result: bytes | Literal[False],
    cancel_requested: bool,  # noqa: FBT001 - by position
) -> JobEnded:
    """Read the values that the script packed; false stands for a missing one."""
    finished_at, started_at, *_ = times
    return JobEnded(
        id=JobId(job_id.decode()),
        state=JobState(state.decode()),
        finished_at=float(finished_at),
        started_at=float(started_at) if started_at else None,
        attempts=int(attempts),
        error=error.decode() or None,
        cancel_requested=cancel_requested,
        result=result if isinstance(result, bytes) else None,
    )


class StoredResult(NamedTuple):
    """The packed estimates of a job, or the blob that holds them.

    Attributes:
        packed: empty if they are in a blob.
        blob: its name; "" if there is none.
        blob_bytes: its size.
    """

    packed: bytes
    blob: str = ""
    blob_bytes: int = 0


class EndingScripts:
    """Calls of the scripts that end jobs.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
        retention_s: how long an ended job can be read.
    """

    def __init__(self, client: RedisClient, clock: Clock, retention_s: int) -> None:
        self._clock = clock
        self._retention_s = retention_s
        self._finish = client.register_script(scripts.FINISH)
        self._cancel = client.register_script(scripts.CANCEL)

    def finish(self, ends: Sequence[tuple[JobEnd, StoredResult]]) -> ScriptCall:
        """The call that ends jobs, at most once each; `read_outcomes` reads its response."""
        packed = [(end.id, str(end.state), end.error, *result) for end, result in ends]
        return self._call(self._finish, msgpack.packb(packed, use_bin_type=False))

    def cancel(self, job_id: JobId) -> ScriptCall:
        """The call that requests the cancellation of a job."""
        return self._call(self._cancel, job_id)

    def window(self) -> int:
        """Number of the present window of completions."""
        return int(self._clock() // RATE_WINDOW_S)

    def period_end(self, keep_s: int) -> int:
        """End of the period of usage in which something expires that is kept from now on."""
        period_s = math.ceil(max(keep_s / USAGE_PERIODS, 60))
        return math.ceil((self._clock() + keep_s) / period_s) * period_s

    def _call(self, script: Any, *arguments: Any) -> ScriptCall:
        names = [
            keys.OPEN_JOBS, keys.JOB_ORDER, keys.completions(self.window()), keys.OPEN_USAGE,
            keys.ENDED_QUEUE,
        ]  # fmt: skip
        common = [
            self._clock(),
            self._retention_s,
            keys.job(""),
            keys.ended_usage(""),
            self.period_end(self._retention_s),
            keys.ENDED_CHANNEL,
            keys.ENDED_JOBS_CHANNEL,
            PUBLISHED_MAX_BYTES,
            MESSAGE_BYTES,
        ]
        return ScriptCall(script, names, [*common, *arguments])


def read_outcomes(response: bytes) -> list[int]:
    """The response of `EndingScripts.finish`: 1, ended by this call; 0, before; -1, gone."""
    return [int(each) for each in response.split(b",")]


def count_ends(ends: Sequence[JobEnd]) -> None:
    """Update the metrics for jobs that have ended by a call of this process."""
    for end in ends:
        JOBS.labels(state=str(end.state)).inc()
        if end.state is JobState.FAILED:
            PREDICTIONS.labels(status="error").inc()
    observe_valuations([price for end in ends for price in prices_of(end.estimates)])
