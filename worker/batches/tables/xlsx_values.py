"""The values of a workbook's cells as a person reads them in a CSV of the same sheet."""

import dataclasses
import io
import re
from datetime import datetime, timedelta
from functools import lru_cache

from shared.domain.errors import FieldProblem, UnreadableUpload
from worker.batches.tables.xlsx_xml import parse_events

_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""Numbers of the built-in formats that show a date or time."""
_QUOTED = re.compile(r'"[^"]*"|\[[^\[\]]*\]|\\.')
_DATE_CHARS = re.compile("[ymdhs]", re.IGNORECASE)
_MAX_EXCEL_DAY = 2_958_465
"""31 December 9999."""
_THREE_DECIMALS = re.compile(r"-?\d+\.\d{3}")
_MAX_EXACT_INTEGER = 1e15
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_BOOLEANS = {"1": "true", "0": "false"}


def cell_text(kind: str, value: str, texts: list[str]) -> str:
    """The text of a cell of any kind; that of a number as it is written in the file.

    Raises:
        UnreadableUpload: it points at a shared text that is not there.
    """
    if kind == "s":
        if not value.isdigit() or int(value) >= len(texts):
            raise UnreadableUpload([FieldProblem("/file", "wrong-workbook")])
        return _unescape(texts[int(value)])
    if kind == "b":
        return _BOOLEANS.get(value, value)
    if kind in ("str", "inlineStr"):
        return _unescape(value)
    return value


def _unescape(text: str) -> str:
    """`_x000D_` is how a workbook writes characters that XML has not."""
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CellFormats:
    """Which styles of a workbook show a number as a date."""

    date_styles: frozenset[str]
    epoch: datetime

    @classmethod
    def of(cls, styles: bytes, *, uses_1904: bool) -> "CellFormats":
        """The formats of a workbook.

        Args:
            styles: its `styles.xml`; empty if it has none.
            uses_1904: whether its days count from 1904, as on old Macintosh computers.
        """
        reader = _StyleReader()
        if styles:
            for _ in parse_events(io.BytesIO(styles), reader.start, reader.end):
                pass
        epoch = datetime(1904, 1, 1) if uses_1904 else datetime(1899, 12, 30)  # noqa: DTZ001
        return cls(date_styles=frozenset(reader.date_styles), epoch=epoch)

    def display(self, number: str, style: str) -> str:
        """A number as it is shown: a date where its style says so, without needless decimals.

        >>> formats = CellFormats.of(b"", uses_1904=False)
        >>> formats.display("2020.0", ""), formats.display("1461.4999999999998", "")
        ('2020', '1461.5')
        """
        if style in self.date_styles:
            return self._date(number)
        return number if number.isdigit() else _format_number(number)

    def _date(self, number: str) -> str:
        try:
            days = float(number)
        except ValueError:
            return number
        if not 0 < days < _MAX_EXCEL_DAY:
            return _format_number(number)
        moment = self.epoch + timedelta(seconds=round(days * 86_400))
        if days < 1:
            return moment.time().isoformat()
        return moment.date().isoformat() if days.is_integer() else moment.isoformat(sep=" ")


@lru_cache(maxsize=65_536)
def _format_number(number: str) -> str:
    """A number with the fifteen digits that Excel shows."""
    try:
        value = float(number)
    except ValueError:
        return number
    if value.is_integer() and abs(value) < _MAX_EXACT_INTEGER:
        return str(int(value))
    text = f"{value:.15g}"
    # "25.125" could be a grouped 25,125; with one more zero it could not.
    return text + "0" if _THREE_DECIMALS.fullmatch(text) else text


class _StyleReader:
    """Finds the cell styles whose number format shows a date."""

    def __init__(self) -> None:
        self.date_styles: list[str] = []
        self._custom_formats: dict[str, str] = {}
        self._in_cell_styles = False
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if name == "numFmt":
            self._custom_formats[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            self._in_cell_styles = True
        elif name == "xf" and self._in_cell_styles:
            if self._is_date(attributes.get("numFmtId", "0")):
                self.date_styles.append(str(self._count))
            self._count += 1

    def end(self, name: str) -> None:
        """An element ends."""
        if name == "cellXfs":
            self._in_cell_styles = False

    def _is_date(self, format_id: str) -> bool:
        code = self._custom_formats.get(format_id)
        if code is not None:
            return _DATE_CHARS.search(_QUOTED.sub("", code)) is not None
        return format_id.isdigit() and int(format_id) in _DATE_FORMATS
