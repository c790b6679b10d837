"""Read a sheet of an Excel workbook as a stream: one row at a time, in flat memory.

Values are those that Excel last saw: of a formula, its cached result. Nothing is computed, no
macro is looked at, and no document type or entity is accepted.
"""

import re
import zipfile
from collections.abc import Collection, Iterator
from functools import cached_property
from itertools import islice
from typing import BinaryIO, NamedTuple

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.tabular.headers import TITLE_ROWS_MAX, has_header
from worker.batches.tables.rows import NumberedRow
from worker.batches.tables.xlsx_values import CellFormats, cell_text
from worker.batches.tables.xlsx_xml import parse_events, read_shared_strings, read_small_part

EXCEL_MAX_COLUMNS = 16_384
"""Excel's own limit."""
MAX_SHEETS_INSPECTED = 20
_LETTERS = re.compile("[A-Z]{1,3}")


class Sheet(NamedTuple):
    """A sheet of a workbook."""

    name: str
    part: str
    """Its file inside the workbook."""
    is_hidden: bool = False


class Workbook:
    """A workbook that is open for reading.

    Args:
        stream: the file, seekable.

    Raises:
        UnreadableUpload: it is damaged.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(stream)
        names = set(self._archive.namelist())
        self.has_macros = "xl/vbaProject.bin" in names
        self.sheets, uses_1904 = _find_sheets(self._archive)
        styles = (
            read_small_part(self._archive, "xl/styles.xml") if "xl/styles.xml" in names else b""
        )
        self._formats = CellFormats.of(styles, uses_1904=uses_1904)
        self._has_shared_strings = "xl/sharedStrings.xml" in names

    @cached_property
    def _texts(self) -> list[str]:
        """The texts that cells refer to."""
        return read_shared_strings(self._archive) if self._has_shared_strings else []

    def sheet(self, wanted: str | None, given: Collection[str] = ()) -> Sheet:
        """A sheet by its name or its number.

        For None it is the first one that names columns of cars, of those that are not hidden; the
        first one if none does.

        Args:
            wanted: what the caller asks for.
            given: what the caller calls the columns.

        Raises:
            UnreadableUpload: there is none such.
        """
        if wanted is None and self.sheets:
            return self._guess_sheet(given)
        for sheet in self.sheets:
            if sheet.name == wanted:
                return sheet
        if wanted is not None and wanted.isascii() and wanted.isdigit():
            place = int(wanted)
            if 1 <= place <= len(self.sheets):
                return self.sheets[place - 1]
        found = ", ".join(sheet.name for sheet in self.sheets[:40])
        problem = FieldProblem("?sheet", "unknown-sheet", sheet=wanted or "1", found=found)
        raise UnreadableUpload([problem])

    def _guess_sheet(self, given: Collection[str]) -> Sheet:
        shown = [sheet for sheet in self.sheets if not sheet.is_hidden] or self.sheets
        if len(shown) == 1:
            return shown[0]
        for sheet in shown[:MAX_SHEETS_INSPECTED]:
            first = islice(self.rows(sheet), TITLE_ROWS_MAX)
            if has_header([row.cells for row in first], given):
                return sheet
        return shown[0]

    def rows(self, sheet: Sheet) -> Iterator[NumberedRow]:
        """The rows of a sheet that hold something."""
        with self._archive.open(sheet.part) as part:
            reader = _SheetReader(self._texts, self._formats)
            for _ in parse_events(part, reader.start, reader.end, reader.text):
                yield from reader.take()


def _find_sheets(archive: zipfile.ZipFile) -> tuple[list[Sheet], bool]:
    """The sheets in the workbook's order, and whether its days count from 1904."""
    targets: dict[str, str] = {}
    sheets: list[Sheet] = []
    flags: set[str] = set()

    def relation(name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("Type", "").endswith("/worksheet"):
            target = attributes.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            targets[attributes.get("Id", "")] = path

    def entry(name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            relation_id = next((attributes[key] for key in attributes if key.endswith(":id")), "")
            if relation_id in targets:
                is_hidden = attributes.get("state", "visible") != "visible"
                sheets.append(Sheet(attributes.get("name", ""), targets[relation_id], is_hidden))
        elif name == "workbookPr" and attributes.get("date1904", "0") in ("1", "true"):
            flags.add("1904")

    for part, handler in (
        ("xl/_rels/workbook.xml.rels", relation),
        ("xl/workbook.xml", entry),
    ):
        with archive.open(part) as stream:
            for _ in parse_events(stream, handler):
                pass
    return sheets, bool(flags)


class _SheetReader:
    """Collects the rows of a sheet from its XML."""

    def __init__(self, texts: list[str], formats: CellFormats) -> None:
        self._texts = texts
        self._formats = formats
        self._ready: list[NumberedRow] = []
        self._number = 0
        self._cells: list[str] = []
        self._column = 0
        self._kind = self._style = ""
        self._value: list[str] = []
        self._in_value = False
        self._hidden_depth = 0
        self._column_of: dict[str, int] = {}

    def take(self) -> list[NumberedRow]:
        """The rows that are complete since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if name == "c":
            self._begin_cell(attributes)
        elif name in ("v", "t"):
            self._in_value = not self._hidden_depth
        elif name == "rPh":
            self._hidden_depth += 1
        elif name == "row":
            given = attributes.get("r", "")
            is_later = given.isdigit() and int(given) > self._number
            self._number = int(given) if is_later else self._number + 1
            self._cells, self._column = [], 0

    def end(self, name: str) -> None:
        """An element ends."""
        if name in ("v", "t"):
            self._in_value = False
        elif name == "c":
            self._end_cell()
        elif name == "rPh":
            self._hidden_depth -= 1
        elif name == "row" and any(self._cells):
            self._ready.append(NumberedRow(self._number, self._cells))

    def text(self, text: str) -> None:
        """Text stands inside an element."""
        if self._in_value:
            self._value.append(text)

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "")
        self._value = []
        letters = attributes.get("r", "").rstrip("0123456789")
        if letters:
            column = self._column_of.get(letters)
            if column is None:
                column = self._column_of[letters] = _column_index(letters)
            self._column = max(self._column, column)
        if self._column >= EXCEL_MAX_COLUMNS:
            raise UnreadableUpload([FieldProblem("/file", "wrong-workbook")])

    def _end_cell(self) -> None:
        text = cell_text(self._kind, "".join(self._value), self._texts)
        if self._kind == "n" and text:
            text = self._formats.display(text, self._style)
        if text:
            if self._column > len(self._cells):
                self._cells += [""] * (self._column - len(self._cells))
            self._cells.append(text)
        self._column += 1


def _column_index(letters: str) -> int:
    """Index of a column, from 0.

    >>> _column_index("A"), _column_index("AB")
    (0, 27)
    """
    if not _LETTERS.fullmatch(letters):
        raise UnreadableUpload([FieldProblem("/file", "wrong-workbook")])
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1
