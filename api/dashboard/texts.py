"""Numbers and times of the dashboard in the language of the page."""

from api.pages.language import gettext as _
from api.pages.typography import format_number, format_percent
from shared.i18n.catalogue import mark

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
MILLISECONDS = 1000
NONE = "\N{EN DASH}"
SMALL = 10
"""Below it, rates and short times have decimals."""

DONE = {
    "activated": mark("The version is active."),
    "rolled-back": mark("The version before is active again."),
    "shadow": mark("The shadow version was set."),
    "no-shadow": mark("There is no shadow version any more."),
    "replayed": mark("The work is carried out again."),
    "dropped": mark("The work was taken off the list."),
    "retried": mark("The file runs again from what is done."),
}
"""What is said after a change, by the code in the address."""

KINDS = {"job": mark("Job"), "batch": mark("File")}
AGES = {
    "": mark("Of any age"),
    "3600": mark("Of the last hour"),
    "86400": mark("Of the last day"),
    "604800": mark("Of the last week"),
}
"""Filters by age, by their seconds."""


def format_span(seconds: float | None) -> str:
    """A time span with one unit; a dash for None."""
    if seconds is None:
        return NONE
    for limit, unit_s, text in (
        (1, 1 / MILLISECONDS, mark("{number} ms")),
        (2 * MINUTE_S, 1, mark("{number} s")),
        (2 * HOUR_S, MINUTE_S, mark("{number} min")),
        (2 * DAY_S, HOUR_S, mark("{number} h")),
    ):
        if seconds < limit:
            value = seconds / unit_s
            decimals = 1 if 0 < value < SMALL and unit_s <= 1 else 0
            return _(text).format(number=format_number(value, decimals))
    return _(mark("{number} d")).format(number=format_number(seconds / DAY_S))


def format_rate(per_s: float) -> str:
    """Events in a second."""
    decimals = 0 if per_s == 0 or per_s >= SMALL else 1 if per_s >= 1 else 2
    return _("{number}/s").format(number=format_number(per_s, decimals))


def format_share(ratio: float | None) -> str:
    """A share as a percentage; a dash for None."""
    return NONE if ratio is None else format_percent(100 * ratio)
