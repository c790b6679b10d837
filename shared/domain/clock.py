"""The type of the clocks that services use, the length of a day, and months as numbers."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Returns the time of day: Unix time in seconds."""

DAY_S = 86_400
MONTHS_A_YEAR = 12


def month_number(month: str) -> int:
    """A month (YYYY-MM) as a number that grows by one each month.

    >>> month_number("2025-01") - month_number("2024-11")
    2
    """
    year, number = month.split("-")
    return int(year) * MONTHS_A_YEAR + int(number)


def month_name(number: int) -> str:
    """The inverse of `month_number`.

    >>> month_name(month_number("2024-12"))
    '2024-12'
    """
    year, month = divmod(number - 1, MONTHS_A_YEAR)
    return f"{year}-{month + 1:02d}"


def year_of(month: int) -> int:
    """The year of a month's number."""
    return (month - 1) // MONTHS_A_YEAR


def current_month() -> int:
    """The number of the current month, UTC."""
    now = datetime.now(UTC)
    return now.year * MONTHS_A_YEAR + now.month


def month_at(time_s: float) -> int:
    """The number of the month at a Unix time, UTC."""
    then = datetime.fromtimestamp(time_s, UTC)
    return then.year * MONTHS_A_YEAR + then.month
