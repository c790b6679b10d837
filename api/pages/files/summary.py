"""What the results of a batch add up to: value, verdicts, statuses and frequent reasons."""

from collections.abc import Mapping
from typing import Any

from api.pages.files.result_table import STATUS_NAMES, VERDICT_NAMES
from api.pages.language import gettext as _
from api.pages.language import page_language, page_url
from api.pages.typography import format_number, format_percent
from shared.domain.batch import Batch
from shared.messages.texts import describe_row_error

MAX_REASONS = 5


def build_summary(batch: Batch, head: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `batch/summary.html`.

    Args:
        batch: an ended batch.
        head: of its row index.
    """
    address = f"/fichiers/{batch.manifest.id}"

    def part(name: str, value: str, label: str, count: int, of: int) -> dict[str, Any]:
        return {
            "value": value,
            "label": _(label),
            "count": format_number(count),
            "share": round(100 * count / of),
            "percent": format_percent(100 * count / of),
            "url": page_url(address, **{name: value}) + "#lignes",
        }

    rows = max(head["rows"], 1)
    compared = sum(count for name, count in head["verdicts"].items() if name)
    verdicts = [
        part("verdict", value, label, head["verdicts"][value], compared)
        for value, label in VERDICT_NAMES.items()
        if head["verdicts"].get(value)
    ]
    statuses = [
        part("status", value, label, head["statuses"][value], rows)
        for value, label in STATUS_NAMES.items()
        if head["statuses"].get(value)
    ]
    language = page_language()
    reasons = [
        {
            "text": describe_row_error(reason["example"], language),
            "count": reason["rows"],
            "shown": format_number(reason["rows"]),
        }
        for reason in head["reasons"][:MAX_REASONS]
    ]
    return {
        "total": format_number(round(head["total_mad"])),
        "valued": head["valued"]["price"],
        "shown_valued": format_number(head["valued"]["price"]),
        "compared": compared,
        "shown_compared": format_number(compared),
        "verdicts": verdicts,
        "statuses": statuses,
        "reasons": reasons,
    }
