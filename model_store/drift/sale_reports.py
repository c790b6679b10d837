"""Reads the reported sales of the audit log."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from shared.audit.chain import OUTCOMES_PREFIX
from shared.domain.sale import SaleReport


def sale_reports(audit_folder: Path) -> Sequence[SaleReport]:
    """The last report on each valuation, in the order of time; unreadable lines are left out.

    Raises:
        OSError: the log cannot be read.
    """
    latest: dict[str, SaleReport] = {}
    for path in sorted(audit_folder.glob(f"{OUTCOMES_PREFIX}_*.jsonl")):
        for report in _read(path):
            known = latest.get(report.valuation_id)
            if known is None or known.recorded_at <= report.recorded_at:
                latest[report.valuation_id] = report
    return sorted(latest.values(), key=lambda report: report.recorded_at)


def _read(path: Path) -> Iterator[SaleReport]:
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    yield SaleReport.from_json(orjson.loads(line))
                except (KeyError, TypeError, ValueError, AttributeError):
                    continue
    except FileNotFoundError:  # deleted meanwhile, by the retention
        return
