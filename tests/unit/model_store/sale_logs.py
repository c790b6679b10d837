"""Sale reports as the API writes them."""

import datetime as dt

import numpy as np

from api.sales.log import SaleReportLog
from shared.audit.chain import OUTCOMES_PREFIX
from shared.audit.log import AuditLog
from shared.domain.ids import CallerId, new_id
from shared.domain.sale import Sale, SaleReport


def reports_of(version, errors, callers=8, *, start=0):
    """Reports of sales whose estimates by `version` have these relative errors.

    Args:
        callers: how many have reported them in turn, or the name of one.
        start: number of seconds after the first report of other calls.
    """
    names = [callers] if isinstance(callers, str) else [f"shop-{n}" for n in range(callers)]
    return [
        SaleReport(
            valuation_id=new_id(), caller=CallerId(names[number % len(names)]),
            sale=Sale(price_mad=100_000.0, sold_at=dt.date(2026, 11, 1)),
            price_mad=100_000.0 * (1 + error), low_mad=1.0, high_mad=2.0,
            model_version=version, recorded_at=1_790_000_000.0 + start + number,
        )
        for number, error in enumerate(map(float, errors))
    ]  # fmt: skip


def report_sales(folder, version, errors, writer, callers=8):
    """Store the reports of `reports_of` as the API does."""
    log = SaleReportLog(folder, writer, lambda: 1_790_000_000.0)
    for report in reports_of(version, errors, callers):
        log.put(report)
    log.close()


def write_sales(folder, version, errors, writer, callers=8):
    """Write the lines of `report_sales` at once, without its index and flushes."""
    log = AuditLog(folder, writer, lambda: 1_790_000_000.0, OUTCOMES_PREFIX)
    log.append(reports_of(version, errors, callers))
    log.close()


def errors_of(median, count, seed=0):
    """Relative errors whose absolute median is about `median`."""
    random = np.random.default_rng(seed)
    return random.normal(scale=median / 0.6745, size=count).clip(-0.9, 3)
