"""Texts of cells of workbooks and values of JSON, as a person reads them in a CSV of them."""

import math
import re
from datetime import MAXYEAR, date, datetime, time, timedelta
from typing import Any

import orjson
from marshmallow import ValidationError

from shared.fields.kinds.number import Number
from shared.fields.kinds.text import WRONG_TYPE, CarField, FoldedText
from shared.tabular.csv_reader import replace_unreadable
from shared.tabular.tables.rows import truncate_cell

_THREE_DECIMALS = re.compile(r"-?\d+\.\d{3}")
_MAX_EXACT_INTEGER = 1e15
_MINUTE_S, _HOUR_S = 60, 3_600
_HALF_SECOND = timedelta(milliseconds=500)

CellValue = float | str | bool | time | date | datetime | timedelta
"""What python-calamine gives for a cell; an empty text for a blank cell or an error value."""


def cell_text(value: CellValue) -> str:
    """The text of a cell.

    Numbers have the fifteen digits that Excel shows. Dates are ISO 8601, without a time of
    midnight; durations are hours, minutes and seconds. Infinite numbers, and those that are none,
    are blank.

    >>> cell_text(2020.0), cell_text(1461.4999999999998), cell_text(True)
    ('2020', '1461.5', 'true')
    >>> cell_text(datetime(2019, 3, 1, 12, 30)), cell_text(timedelta(hours=36))
    ('2019-03-01 12:30:00', '36:00:00')
    """
    if isinstance(value, float):  # most of what is no text, so without another call
        if value.is_integer() and -_MAX_EXACT_INTEGER < value < _MAX_EXACT_INTEGER:
            return str(int(value))
        return _decimal_text(value)
    if isinstance(value, str):
        return truncate_cell(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return _duration_text(value)
    return _moment_text(value)


def _decimal_text(value: float) -> str:
    if not math.isfinite(value):
        return ""
    text = f"{value:.15g}"
    # "25.125" could be a grouped 25,125; with one more zero it could not.
    return text + "0" if _THREE_DECIMALS.fullmatch(text) else text


def _moment_text(value: time | date | datetime) -> str:
    if isinstance(value, datetime):
        moment = _to_second(value)
        return str(moment.date() if moment.time() == time.min else moment)
    if isinstance(value, time):
        if value == time.min:  # a zero in a cell that shows a date or time
            return "0"
        return str(_to_second(datetime.combine(date.min, value)).time())
    return str(value)


def _to_second(value: datetime) -> datetime:
    """The nearest second: a workbook has times as fractions of a day."""
    rest = timedelta(microseconds=value.microsecond)
    return value - rest + timedelta(seconds=rest >= _HALF_SECOND and value.year < MAXYEAR)


def _duration_text(value: timedelta) -> str:
    seconds = round(value.total_seconds())
    hours, rest = divmod(abs(seconds), _HOUR_S)
    sign = "-" if seconds < 0 else ""
    return f"{sign}{hours}:{rest // _MINUTE_S:02}:{rest % _MINUTE_S:02}"


def json_cell(value: Any, kind: CarField | None) -> str:
    """A value of a field as a CSV would have it, marked if it is of a type that is refused.

    Args:
        value: of a member.
        kind: its field; None if it is none.
    """
    if isinstance(value, str) or value is None or kind is None:
        return _json_text(value)
    is_refusable = isinstance(value, bool) or isinstance(kind, FoldedText) or kind.required
    is_number = type(value) in {int, float} and isinstance(kind, Number)
    if is_refusable and not is_number:
        return _json_text(value) + ("" if _is_accepted(value, kind) else WRONG_TYPE)
    return _json_text(value)


def _is_accepted(value: Any, kind: CarField) -> bool:
    try:
        kind.read(value)
    except ValidationError:
        return False
    return True


def _json_text(value: Any) -> str:
    """A value as a CSV would have it."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        return truncate_cell(replace_unreadable(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # "25.125" could be a grouped 25,125; with one more zero it could not.
        text = str(value)
        return text + "0" if _THREE_DECIMALS.fullmatch(text) else text
    text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return truncate_cell(replace_unreadable(text))
