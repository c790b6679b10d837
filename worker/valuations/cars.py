"""Cars to value: requests of a micro-batch, and those of stored jobs; their audit records."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgpack

from shared.domain.car import CarFeatures
from shared.domain.errors import DomainError, UnreadableRecord, record_errors
from shared.domain.ids import CallerId, JobId, ValuationId
from shared.domain.job import Job
from shared.domain.valuation import AuditRecord, CarRequest, Estimate, Extra
from shared.metrics import RECORDS_UNREADABLE
from shared.queue.sender import EstimateResult, RequestResult
from shared.tracing.current import trace_members


@dataclasses.dataclass(frozen=True, slots=True)
class WaitingCar:
    """One car whose price a caller waits for, or will read from a job."""

    id: ValuationId
    """Of its audit record."""
    request: CarRequest
    caller: CallerId
    since: float
    """When it was accepted; Unix time, seconds."""
    deadline: float = 0.0
    """Until when its caller waits; not used for the cars of jobs."""
    job_id: JobId | None = None
    trace: str = ""
    """`traceparent` of the request; empty if it is not traced."""

    @classmethod
    def from_wire(cls, packed: bytes) -> "WaitingCar":
        """Rebuild a request from what `MicroBatchDispatcher` sent.

        Raises:
            UnreadableRecord: a newer version sent it.
        """
        with record_errors():
            valuation_id, request, caller, deadline, since, *later = msgpack.unpackb(packed)
            trace = str(later[0]) if later else ""
            read = CarRequest.from_wire(request)
            return cls(valuation_id, read, caller, since, deadline, trace=trace)


ValuedCar: TypeAlias = tuple[WaitingCar, EstimateResult]


def cars_of(job: Job) -> list[WaitingCar]:
    """The cars of a stored job."""
    return [car_of(job, index, request) for index, request in enumerate(job.requests)]


def car_of(job: Job, index: int, request: CarRequest) -> WaitingCar:
    """The car of a stored job at an index, from 0."""
    valuation_id = ValuationId(f"{job.id}-{index + 1}" if job.is_list else job.id)
    return WaitingCar(
        valuation_id, request, job.caller, job.created_at, job_id=job.id, trace=job.trace
    )


def read_items(items: Sequence[bytes]) -> tuple[list[WaitingCar], list[RequestResult]]:
    """The requests of a micro-batch, and the error for those that this version cannot read."""
    waiting: list[WaitingCar] = []
    unreadable: list[RequestResult] = []
    for item in items:
        try:
            waiting.append(WaitingCar.from_wire(item))
        except UnreadableRecord as error:
            RECORDS_UNREADABLE.labels(record="request").inc()
            with suppress(UnreadableRecord), record_errors():
                unreadable.append((ValuationId(msgpack.unpackb(item)[0]), error))
    return waiting, unreadable


def audit_records(valued: Iterable[ValuedCar], at: float) -> Iterator[AuditRecord]:
    """The audit records of answers that are given at this Unix time."""
    for car, result in valued:
        yield AuditRecord(
            id=car.id,
            at=at,
            caller=car.caller,
            car=car.request.car,
            match=car.request.match,
            given=car.request.given,
            estimate=result if isinstance(result, Estimate) else None,
            error=result.code if isinstance(result, DomainError) else None,
            cached=False,
            response_time_ms=1000 * (at - car.since),
            job_id=car.job_id,
            trace=trace_members(car.trace),
        )


def cacheable(
    valued: Iterable[ValuedCar],
) -> list[tuple[CarFeatures, Sequence[Extra], Estimate]]:
    """What the result cache keeps of answers."""
    return [
        (car.request.car, car.request.extras, result)
        for car, result in valued
        if isinstance(result, Estimate)
    ]
