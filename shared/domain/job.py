"""A job: an accepted request for work that may outlast the HTTP request."""

import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Self

from shared.domain.errors import DomainError
from shared.domain.ids import CallerId, JobId
from shared.domain.lists.requests import count_extras
from shared.domain.valuation import DEFAULT_COVERAGE, CarRequest, Estimate


class JobState(StrEnum):
    """State of a job. `cancel_requested` is a field of the job, not a state."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


@dataclasses.dataclass(frozen=True, slots=True)
class DispatchOrigin:
    """The micro-batch in which a request was sent before it became a job, and its deadline."""

    group_id: str
    deadline: float
    """Unix time, seconds."""


TOMBSTONE_TTL_FACTOR = 8
"""A job or batch is reported as expired for this multiple of its retention time."""

SHORT_JOB_CARS = 100
"""A job with the effort of this many cars without extras takes milliseconds."""

EXTRA_COST_CARS = 30
"""The effort of one extra, in cars without extras."""


def effort_of(request: CarRequest) -> int:
    """The expected duration of one request, in that of one car without extras."""
    return 1 + EXTRA_COST_CARS * len(request.extras)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """Where the end of a job or batch is reported, and how."""

    url: str
    key_id: str
    """Of the API key whose secret signs the webhook; empty: that of the service."""
    language: str
    """Of the texts: `fr` or `en`."""
    coverage: float = DEFAULT_COVERAGE
    """Of the price intervals of a job."""
    trace: str = ""
    """`traceparent` of the request; empty if it is not traced."""

    def to_wire(self) -> dict[str, Any]:
        """The stored form; readers ignore members that they do not know."""
        members = dataclasses.asdict(self)
        if not self.trace:
            del members["trace"]
        return members

    @classmethod
    def from_wire(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_wire`'s members; those of a newer version are ignored."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in members.items() if name in names})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One accepted request for the valuation of a car or of a list of cars."""

    id: JobId
    caller: CallerId
    state: JobState
    created_at: float
    """Unix time, seconds."""
    requests: Sequence[CarRequest]
    """A `shared.domain.lists.requests.RequestList` if it is long."""
    is_list: bool
    """Whether the caller sent a list, and gets one back."""
    started_at: float | None = None
    finished_at: float | None = None
    attempts: int = 0
    cancel_requested: bool = False
    estimates: Sequence[Estimate] = ()
    """One per request, in order, once the job has succeeded; an `EstimateList` of columns if the
    requests are one and ask for no extras."""
    error: str | None = None
    """Message code of the failure."""
    origin: DispatchOrigin | None = None
    """Set if the job is a request of `/predict` whose caller stopped waiting."""
    callback: Callback | None = None
    """Where its end is reported."""
    trace: str = ""
    """`traceparent` of the request; empty if it is not traced."""

    @property
    def done(self) -> int:
        """How many cars have been valued."""
        return len(self.estimates)

    @property
    def is_long(self) -> bool:
        """Whether it would delay single cars noticeably; one car never does, whatever is asked."""
        return len(self.requests) > 1 and self.effort > SHORT_JOB_CARS

    @property
    def effort(self) -> int:
        """Its expected duration, in that of one car without extras."""
        return len(self.requests) + EXTRA_COST_CARS * count_extras(self.requests)


class JobEnd(NamedTuple):
    """How a job ends."""

    id: JobId
    state: JobState
    """A terminal one."""
    estimates: Sequence[Estimate] = ()
    error: str = ""
    """Message code of the failure."""

    @classmethod
    def of(cls, job_id: JobId, result: Estimate | DomainError) -> "JobEnd":
        """The end of a job of one car, by the result for that car."""
        if isinstance(result, Estimate):
            return cls(job_id, JobState.SUCCEEDED, (result,))
        return cls(job_id, JobState.FAILED, error=result.code)


class JobKind(StrEnum):
    """What a caller submitted."""

    JOB = "job"
    """One car or a list of cars."""
    BATCH = "batch"
    """A file."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class JobSummary:
    """A job or batch in a list, without its contents."""

    id: str
    kind: JobKind
    caller: CallerId
    state: JobState
    created_at: float
    """Unix time, seconds."""
    started_at: float | None
    finished_at: float | None
    done: int
    """Cars or rows."""
    total: int | None
    """None until a file has been read to its end."""
    file_name: str = ""
    """The caller's name of the file; empty for jobs and files without a name."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class QueuePosition:
    """Position of an open job in the queue."""

    position: int
    """How many open jobs were accepted before it."""
    eta_s: float | None
    """Seconds until it ends at the rate of the last minute; None if no job ended recently."""
