"""Sale reports: joined with the audit record of their valuation, stored and counted."""

import dataclasses
import datetime as dt
import re
from collections.abc import Sequence

from api.sales.audit_search import AuditSearch
from api.sales.log import SaleReportLog
from shared.domain.clock import DAY_S, Clock
from shared.domain.errors import (
    BrokerUnavailable,
    FieldProblem,
    InvalidInput,
    ValuationExpired,
    ValuationNotFound,
)
from shared.domain.ids import CallerId, JobId, id_timestamp, is_id
from shared.domain.sale import Sale, SaleAccuracy, SaleReport, SaleReportKind
from shared.metrics import OUTCOME_ERROR, OUTCOME_INSIDE, OUTCOME_RATIO, OUTCOMES
from shared.redis.job_store.store import JobStore

LAST_ID_S = dt.datetime.max.replace(tzinfo=dt.UTC).timestamp() - 2 * DAY_S
"""Ids of later times are malformed. Others in the future are looked up: a clock that was fast may
have been set back."""
MAX_QUOTED_CHARS = 64
MAX_SALE_LEAD = dt.timedelta(days=366)
"""Sales longer before the valuation are refused: prices of that market differ too much."""
_NUMBER = re.compile(r"0|[1-9]\d{0,8}")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SaleReports:
    """Accepts sale reports."""

    search: AuditSearch
    log: SaleReportLog
    jobs: JobStore
    """Tells when a job ended, which locates the audit record of a long one."""
    clock: Clock
    window_s: int
    """How long after the valuation a sale can be reported."""

    def report(
        self, valuation_id: str, sale: Sale, caller: CallerId, *, is_admin: bool
    ) -> tuple[SaleReport, SaleReportKind]:
        """Record a sale; a repeated report changes nothing, a different one is a correction.

        Args:
            valuation_id: `id` of the valuation.
            sale: price and date.
            caller: must be the caller of the valuation.
            is_admin: whether the caller may report sales of all valuations.

        Raises:
            ValuationNotFound: this caller has no such valuation, or it has no price.
            ValuationExpired: it is older than the window.
            InvalidInput: the sale is more than `MAX_SALE_LEAD` before the valuation.
            AuditUnavailable: the report cannot be stored.
        """
        self._check(valuation_id)
        _check_sale_date(valuation_id, sale)
        valuation = self.log.get(valuation_id) or self._join_audit_record(valuation_id, sale)
        if valuation is None or not (is_admin or valuation.caller == caller):
            raise ValuationNotFound(id=valuation_id)
        report, kind = self.log.put(
            dataclasses.replace(valuation, sale=sale, recorded_at=self.clock(), is_correction=False)
        )
        _count(report, kind)
        return report, kind

    def figures(self, caller: CallerId | None) -> Sequence[SaleAccuracy]:
        """The accuracy of each model version; see `SaleReportLog.figures`."""
        return self.log.figures(caller)

    def _check(self, valuation_id: str) -> None:
        """Refuse malformed and expired ids."""
        base, dash, number = valuation_id.partition("-")
        is_numbered = not dash or _NUMBER.fullmatch(number) is not None
        if not is_id(base) or not is_numbered:
            raise ValuationNotFound(id=valuation_id[:MAX_QUOTED_CHARS])
        made_at = id_timestamp(base)
        if self.clock() - made_at > self.window_s:
            raise ValuationExpired(id=valuation_id, days=self.window_s // DAY_S)
        if made_at > LAST_ID_S:
            raise ValuationNotFound(id=valuation_id)

    def _join_audit_record(self, valuation_id: str, sale: Sale) -> SaleReport | None:
        """The report for a valuation from its audit record; None without record or price."""
        record = self.search.find(valuation_id, self._ended_at(valuation_id))
        if record is None or record.get("price_mad") is None:
            return None
        return SaleReport(
            valuation_id=valuation_id,
            caller=CallerId(record["caller"]),
            sale=sale,
            price_mad=record["price_mad"],
            low_mad=record["low_mad"],
            high_mad=record["high_mad"],
            model_version=record["model_version"],
            recorded_at=self.clock(),
        )

    def _ended_at(self, valuation_id: str) -> float | None:
        """When the job of a valuation ended; None if there is no job or the broker is down."""
        try:
            job = self.jobs.load(JobId(valuation_id.partition("-")[0]))
        except BrokerUnavailable:
            return None
        return job.finished_at if job else None


def _check_sale_date(valuation_id: str, sale: Sale) -> None:
    valued_on = dt.datetime.fromtimestamp(
        id_timestamp(valuation_id.partition("-")[0]), dt.UTC
    ).date()
    if sale.sold_at < valued_on - MAX_SALE_LEAD:
        day = sale.sold_at.isoformat()
        raise InvalidInput([FieldProblem("/sold_at", "sold-long-before", value=day)])


def _count(report: SaleReport, kind: SaleReportKind) -> None:
    """Update the metrics; corrections are not observed, as histograms cannot be corrected."""
    version = report.model_version
    OUTCOMES.labels(model_version=version, kind=str(kind)).inc()
    if kind is SaleReportKind.NEW:
        OUTCOME_ERROR.labels(model_version=version).observe(report.ape)
        OUTCOME_RATIO.labels(model_version=version).observe(report.ratio)
        inside = "yes" if report.is_inside else "no"
        OUTCOME_INSIDE.labels(model_version=version, inside=inside).inc()
