"""The audit records of a list of cars, encoded by columns.

The lines are those of one `AuditRecord` per car.
"""

import dataclasses
from collections.abc import Mapping

from shared.domain.ids import CallerId, JobId
from shared.domain.lists.estimates import EstimateList
from shared.domain.lists.requests import RequestList
from shared.domain.valuation import DEFAULT_COVERAGE, QUANTILE_LEVELS, audit_names
from shared.fields.lists.json_text import json_cars, json_numbers, json_text

_LOW = QUANTILE_LEVELS.index(round((1 - DEFAULT_COVERAGE) / 2, 6))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ListRecords:
    """The records of the cars of a job, which all have a price."""

    job_id: JobId
    at: float
    """Unix time of the answer, seconds."""
    caller: CallerId
    requests: RequestList
    estimates: EstimateList
    response_time_ms: float
    """From the arrival of the request to these records."""
    trace: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """See `AuditRecord`."""

    def encode(self) -> list[bytes]:
        """The records as JSON, without hashes, in the order of the cars."""
        estimates = self.estimates
        shared = json_text({"at": self.at, "caller": self.caller})[1:-1]
        names = self._names()
        prices = (estimates.prices_mad, estimates.quantiles_mad[_LOW])
        cells = zip(
            map(names.__getitem__, self.requests.remark_numbers),
            json_cars(self.requests.cars, len(estimates)),
            *map(json_numbers, (*prices, estimates.quantiles_mad[-1 - _LOW])),
            strict=True,
        )
        end = self._end()
        return [
            (
                f'{{"id":"{self.job_id}-{number}",{shared}{read}"features":{car},'
                f'"price_mad":{price},"low_mad":{low},"high_mad":{high},{end}'
            ).encode()
            for number, (read, car, price, low, high) in enumerate(cells, start=1)
        ]

    def _names(self) -> list[str]:
        """The members that say how names were read, between commas, by number of remarks."""
        found = []
        for remarks in self.requests.remarks:
            members = audit_names(remarks.match, remarks.given)
            found.append(f",{json_text(members)[1:-1]}," if members else ",")
        return found

    def _end(self) -> str:
        """The members after the prices, and the end of the object."""
        return json_text({
            "model_version": self.estimates.model_version,
            "cached": False,
            "response_time_ms": round(self.response_time_ms, 3),
            "status": "success",
            "job_id": self.job_id,
            **self.trace,
        })[1:]  # fmt: skip
