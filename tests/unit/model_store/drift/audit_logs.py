"""Audit logs as the service writes them, of cars drawn from the reference market."""

import dataclasses
import datetime as dt
from pathlib import Path

from data.listings.table import car_columns
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from shared.audit.chain import file_name
from shared.audit.log import AuditLog
from shared.domain.car import FIELD_NAMES, CarFeatures
from shared.domain.ids import new_id
from shared.domain.valuation import AuditRecord, Estimate
from worker.batches.audit_segments import encode_segment

VERSION = "2026-11-01T000000-abcdef"
WHOLE_NUMBERS = {"year", "km_driven", "fiscal_power_cv", "doors"}


def drawn_listings(rows, seed):
    """Listings of the reference market."""
    return generate(ReferenceMarket.load(), rows, seed=seed)


def records(listings, day, *, version=VERSION, caller="shop", prices=None, job=None):
    """A record of each listing's car; `job`: they are the cars of one job."""
    columns = car_columns(listings)
    at = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp() + 3600
    prices = listings["price_mad"] if prices is None else prices
    found = []
    for row, price in enumerate(prices):
        given = {name: columns[name][row] for name in FIELD_NAMES}
        for name in WHOLE_NUMBERS:
            given[name] = None if given[name] is None else int(given[name])
        estimate = Estimate(
            price_mad=float(price), quantiles_mad=(float(price),) * 9, model_version=version,
            model_known=True,
        )  # fmt: skip
        found.append(
            AuditRecord(
                id=f"{job}-{row}" if job else new_id(), at=at, caller=caller,
                car=CarFeatures(**given), estimate=estimate, cached=False, response_time_ms=1.0,
            )
        )  # fmt: skip
    return found


def write_log(folder: Path, found, writer="api-1"):
    """Write records as a process of the service does."""
    log = AuditLog(folder, writer, lambda: found[0].at)
    log.append(found)
    log.close()


def write_segment(folder: Path, day, found, batch="01m8batch", chunk=0):
    """Write records as the audit segment of a chunk, in the column order of the file."""
    lines = []
    for row, record in enumerate(found):
        line = dataclasses.replace(record, id=f"{batch}-{row}").to_json()
        line["features"] = dict(reversed(line["features"].items()))
        lines.append(line)
    folder.mkdir(exist_ok=True, parents=True)
    (folder / file_name(day, f"batch-{batch}-{chunk}")).write_bytes(encode_segment(lines))
