"""Sale reports on valuations whose ids are in the future, because the clock was set back."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from api.sales.audit_search import AuditSearch
from api.sales.log import SaleReportLog
from api.sales.service import SaleReports
from shared.audit.log import AuditLog
from shared.domain.errors import ValuationNotFound
from shared.domain.ids import CallerId, new_id
from shared.domain.sale import Sale, SaleReportKind

NOW = 1_800_000_000.0
CALLER = CallerId("me")
SALE = Sale(price_mad=90_000, sold_at=dt.datetime.fromtimestamp(NOW, dt.UTC).date())


class Record:
    """An audit record with as much as a sale report needs."""

    def __init__(self, valuation_id: str, at: float) -> None:
        self.members: dict[str, Any] = {
            "id": valuation_id,
            "at": at,
            "caller": CALLER,
            "price_mad": 100_000,
            "low_mad": 80_000,
            "high_mad": 120_000,
            "model_version": "v1",
        }

    def to_json(self) -> dict[str, Any]:
        return self.members


@pytest.fixture
def reports(tmp_path: Path) -> SaleReports:
    jobs: Any = type("Jobs", (), {"load": lambda _self, _id: None})()
    return SaleReports(
        search=AuditSearch(tmp_path),
        log=SaleReportLog(tmp_path, "api-1", lambda: NOW),
        jobs=jobs,
        clock=lambda: NOW,
        window_s=365 * 86_400,
    )


@pytest.mark.parametrize("ahead_s", [60, 3600, 5 * 86_400, 400 * 86_400])
def test_a_valuation_from_before_the_clock_was_set_back_can_be_sold(
    reports: SaleReports, tmp_path: Path, ahead_s: int
) -> None:
    made_at = NOW + ahead_s
    record: Any = Record(new_id(made_at), made_at)
    AuditLog(tmp_path, "worker-1", lambda: made_at).append([record])
    sale = Sale(price_mad=90_000, sold_at=SALE.sold_at + dt.timedelta(days=ahead_s // 86_400))
    _, kind = reports.report(record.members["id"], sale, CALLER, is_admin=False)
    assert kind is SaleReportKind.NEW


@pytest.mark.parametrize("at", [NOW, NOW + 86_400 * 3, 253_402_300_799.0, 2.8e11])
def test_unknown_ids_of_any_time_are_not_found(reports: SaleReports, at: float) -> None:
    with pytest.raises(ValuationNotFound):
        reports.report(new_id(at), SALE, CALLER, is_admin=False)
