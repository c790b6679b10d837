"""Sale reports as the API writes them."""

import datetime as dt

import numpy as np

from api.sales.log import SaleReportLog
from shared.domain.ids import CallerId, new_id
from shared.domain.sale import Sale, SaleReport


def report_sales(folder, version, errors, writer):
    """Report sales whose estimates by `version` have these relative errors."""
    log = SaleReportLog(folder, writer, lambda: 1_790_000_000.0)
    for number, error in enumerate(map(float, errors)):
        log.put(
            SaleReport(
                valuation_id=new_id(), caller=CallerId("shop"),
                sale=Sale(price_mad=100_000.0, sold_at=dt.date(2026, 11, 1)),
                price_mad=100_000.0 * (1 + error), low_mad=1.0, high_mad=2.0,
                model_version=version, recorded_at=1_790_000_000.0 + number,
            )
        )  # fmt: skip
    log.close()


def errors_of(median, count, seed=0):
    """Relative errors whose absolute median is about `median`."""
    random = np.random.default_rng(seed)
    return random.normal(scale=median / 0.6745, size=count).clip(-0.9, 3)
