"""Writes a result table as an Excel workbook: numbers as numbers, everything else as text."""

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import xlsxwriter

from shared.blobs.stores import BlobWriter
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.number import Number
from shared.i18n.languages import direction
from shared.queue.celery_app import LONG_TASK_TIME_LIMIT_S
from shared.tabular.cells import restore_formula
from shared.tabular.column_names import ASKING_PRICE
from worker.batches.exports.table import StoredResults

CELL_MAX_CHARS = 32_767
"""Excel's limit; a longer text ends with an ellipsis."""

NUMBER_MAX_DIGITS = 15
"""Digits that a number of Excel keeps."""

PLAIN_MAX_DIGITS = 8
"""Digits before the decimal sign of numbers in columns of unknown meaning. A longer number is a
telephone number or an identifier, which Excel would show in another form."""

WIDTH_ROWS = 200
"""First rows that decide how wide a column is."""

MIN_WIDTH, MAX_WIDTH = 8, 50
"""Widths of columns in characters."""

FOLDER_PREFIX = "xlsx-"
STALE_S = 2 * LONG_TASK_TIME_LIMIT_S
"""Age of a folder that no task can still be writing."""

SPACES = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"

_SCIENTIFIC = re.compile(r"-?\d(?:[.,]\d+)?[eE][+-]?\d{1,2}", re.ASCII)
"""A number as Excel shows it in a narrow column."""

CellReader = Callable[[str], float | None]
"""Reads a cell as a number; None if it is a text."""


def write_xlsx(table: StoredResults, target: BlobWriter, spool: Path) -> None:
    """Write the table as one sheet, whose header stays visible.

    Rows are written through temporary files in `spool`, so that memory does not grow with their
    number.
    """
    readers, widths = _examine(table)
    spool.mkdir(parents=True, exist_ok=True)
    _remove_stale(spool)
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX, dir=spool) as folder:
        sink = cast("BinaryIO", _Sink(target))
        options = {"constant_memory": True, "tmpdir": folder, "use_zip64": True}
        with xlsxwriter.Workbook(sink, options) as book:
            sheet = book.add_worksheet()
            if direction(table.language) == "rtl":
                sheet.right_to_left()
            bold = book.add_format({"bold": True})
            # What is typed into a cell of this format stays the text that was typed.
            as_typed = book.add_format({"num_format": "@"}) if table.is_rejected else None
            sheet.freeze_panes(1, 0)
            for index, width in enumerate(widths):
                sheet.set_column(index, index, width, as_typed)
            for index, name in enumerate(_header(table)):
                sheet.write_string(0, index, _text(name), bold)
            for number, row in enumerate(_rows(table), start=1):
                for index, cell in enumerate(row):
                    if not cell:
                        continue
                    reader = readers.get(index)
                    value = None if reader is None else reader(cell)
                    # Only `write_string` and `write_number`: no text becomes a formula or a link.
                    if value is None:
                        sheet.write_string(number, index, _text(cell), as_typed)
                    else:
                        sheet.write_number(number, index, value)


def _remove_stale(spool: Path) -> None:
    """Delete the temporary files of workers that were killed."""
    for folder in spool.glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime + STALE_S < time.time():
                shutil.rmtree(folder)


class _Sink:
    """Adapts a blob to the file interface of `zipfile`, which then writes without seeking.

    Args:
        target: the blob.
    """

    def __init__(self, target: BlobWriter) -> None:
        self._target = target

    def write(self, data: bytes) -> int:
        """Append bytes."""
        return self._target.write(data)

    def flush(self) -> None:
        """Does nothing: the blob store syncs the blob."""


def _text(cell: str) -> str:
    return cell if len(cell) <= CELL_MAX_CHARS else cell[: CELL_MAX_CHARS - 1] + "…"


def _header(table: StoredResults) -> Sequence[str]:
    if table.is_rejected:  # a correction is recognised by the names of the stored table
        return table.header
    names = table.manifest.dialect.header
    return [*(names[index] for index in table.source_indexes), *table.header[table.own_count :]]


def _rows(table: StoredResults) -> Iterator[Sequence[str]]:
    """The rows with the cells of the file, which are no formulas as texts of a workbook.

    Rejected rows keep their apostrophes: they are sent back as the stored table has them.
    """
    if table.is_rejected:
        yield from table.rows
        return
    own = table.own_count
    for row in table.rows:
        yield [*map(restore_formula, row[:own]), *row[own:]]


def _examine(table: StoredResults) -> tuple[Mapping[int, CellReader], Sequence[int]]:
    """The readers of the columns that hold numbers, by index, and the widths of all columns.

    Rejected rows are sent back after their correction: their cells stay as they were written.
    """
    readers: dict[int, CellReader] = dict.fromkeys(table.numbers, float)
    decimal = table.manifest.dialect.decimal
    plain = plain_reader(decimal)
    open_columns: set[int] = set()
    if not table.is_rejected:
        known = _number_columns(table)
        readers |= dict.fromkeys(known, field_reader(decimal))
        open_columns = set(range(table.own_count)) - known
    filled: set[int] = set()
    widths = [len(name) for name in _header(table)]
    for number, row in enumerate(_rows(table)):
        if number < WIDTH_ROWS:
            widths = [max(width, len(cell)) for width, cell in zip(widths, row, strict=True)]
        elif not open_columns:
            break
        for index in tuple(open_columns):
            if is_blank(row[index]):
                continue
            filled.add(index)
            if plain(row[index]) is None:
                open_columns.discard(index)
    readers |= dict.fromkeys(open_columns & filled, plain)
    return readers, [min(max(width + 2, MIN_WIDTH), MAX_WIDTH) for width in widths]


def _number_columns(table: StoredResults) -> set[int]:
    """Indexes of the columns that are number fields of the car, or asking prices."""
    dialect = table.manifest.dialect
    matches = {**dialect.columns, **({ASKING_PRICE: dialect.asking} if dialect.asking else {})}
    places = {index: place for place, index in enumerate(table.source_indexes)}
    return {
        places[match.index]
        for field, match in matches.items()
        if isinstance(CAR_FIELDS.get(field), Number) and match.index in places
    }


def plain_reader(decimal: str) -> CellReader:
    """A reader of plain numbers; None for anything that would look different as a number.

    Args:
        decimal: decimal sign of the file; `auto`: none is certain.

    >>> read = plain_reader("auto")
    >>> read("1.5"), read("1,25"), read("1.500")
    (1.5, 1.25, None)
    >>> read = plain_reader(",")
    >>> read("12"), read("-1,5"), read("1.5"), read("0612"), read("12 000"), read("612345678")
    (12.0, -1.5, None, None, None, None)
    """
    fraction = _fraction(decimal)
    number = re.compile(rf"-?(?:0|[1-9]\d{{0,{PLAIN_MAX_DIGITS - 1}}}){fraction}", re.ASCII)
    return lambda cell: _number(cell) if number.fullmatch(cell) else None


def field_reader(decimal: str) -> CellReader:
    """A reader of the numbers of a number field: thousands may be grouped, and exponents follow.

    >>> read = field_reader(",")
    >>> read("145 000,5"), read("145.000"), read("2018"), read("120 000 km"), read("007")
    (145000.5, 145000.0, 2018.0, None, None)
    >>> field_reader("auto")("145.000"), field_reader("auto")("145 000")
    (None, 145000.0)
    >>> field_reader(".")("1,2E+05"), field_reader("auto")("9e4")
    (120000.0, 90000.0)
    """
    other = {",": r"\.", ".": ","}.get(decimal, "")
    fraction = _fraction(decimal)
    grouped = rf"[1-9]\d{{0,2}}(?:[{SPACES}]\d{{3}})+"
    if other:
        grouped += rf"|[1-9]\d{{0,2}}(?:{other}\d{{3}})+"
    number = re.compile(rf"-?(?:0|[1-9]\d{{0,14}}|{grouped}){fraction}", re.ASCII)
    drop = re.compile(rf"[{SPACES}{other}]")

    def read(cell: str) -> float | None:
        if number.fullmatch(cell):
            return _number(drop.sub("", cell))
        return _number(cell) if _SCIENTIFIC.fullmatch(cell) else None

    return read


def _fraction(decimal: str) -> str:
    """The pattern of decimals. If no sign is certain, three digits may be thousands."""
    if decimal in {",", "."}:
        return rf"(?:{re.escape(decimal)}\d+)?"
    return r"(?:[.,](?:\d{1,2}|\d{4,}))?"


def _number(text: str) -> float | None:
    """A number with a point or a comma as decimal sign; None if Excel would round it."""
    if sum(map(str.isdigit, text)) > NUMBER_MAX_DIGITS:
        return None
    return float(text.replace(",", "."))
