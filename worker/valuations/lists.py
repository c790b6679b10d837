"""Lists of cars that are valued by columns: their results, without an object for each car."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import overload

from shared.audit.list_records import ListRecords
from shared.domain.job import Job
from shared.domain.lists.estimates import EstimateList
from shared.domain.lists.requests import RequestList
from shared.tracing.current import trace_members
from worker.model import Estimation
from worker.valuations.cars import ValuedCar, car_of


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ValuedList(Sequence[ValuedCar]):
    """The cars of a job and their estimates; a car is an object only while it is looked at."""

    job: Job
    requests: RequestList
    estimates: EstimateList

    def __len__(self) -> int:
        """Number of cars."""
        return len(self.requests)

    @overload
    def __getitem__(self, index: int) -> ValuedCar: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ValuedCar]: ...
    def __getitem__(self, index: int | slice) -> ValuedCar | Sequence[ValuedCar]:
        """One car with its estimate, or those of a slice."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return car_of(self.job, at, self.requests[at]), self.estimates[at]

    def __iter__(self) -> Iterator[ValuedCar]:
        """The cars in the order of the list."""
        return map(self.__getitem__, range(len(self)))

    def audit_records(self, at: float) -> ListRecords:
        """The audit records of answers that are given at this Unix time."""
        return ListRecords(
            job_id=self.job.id,
            at=at,
            caller=self.job.caller,
            requests=self.requests,
            estimates=self.estimates,
            response_time_ms=1000 * (at - self.job.created_at),
            trace=trace_members(self.job.trace),
        )


def value_list(estimation: Estimation, job: Job) -> ValuedList | None:
    """Value the cars of a job by one call of the forest; None if that is to be done car by car."""
    requests = job.requests
    if not isinstance(requests, RequestList) or requests.extras:
        return None
    estimates = estimation.estimate_list(requests)
    return None if estimates is None else ValuedList(job, requests, estimates)
