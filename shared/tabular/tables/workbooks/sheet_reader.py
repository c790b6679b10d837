"""The rows of a sheet: its pieces are read by python-calamine, its merged cells filled."""

import os
import shutil
import zipfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from types import TracebackType
from typing import IO, Any, Self

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from shared.tabular.csv_reader import FIELD_MAX_CHARS
from shared.tabular.header_row import TITLE_ROWS_MAX
from shared.tabular.tables.cells import CellValue, cell_text
from shared.tabular.tables.rows import NumberedRow, TitledTable, split_titles
from shared.tabular.tables.workbooks.cell_repair import CellRepair
from shared.tabular.tables.workbooks.merged_cells import MergedCells
from shared.tabular.tables.workbooks.pieces import BLOCK_BYTES, Piece, SheetCutter, workbook_error

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SHOWN_MAX_CHARS, SHOWN_CELLS = 30, 12
"""Of the cells of the first rows that `SheetRows.first` repeats."""

_SHEET = "xl/worksheets/sheet1.xml"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"/>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
    f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
    "</Relationships>",
}
_WORKBOOK = (
    '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    f'xmlns:r="{_RELATIONS}"><workbookPr date1904="%d"/>'
    '<sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>'
)


class PieceReader:
    """Reads each piece of a sheet from a workbook of its own, a file in memory.

    The usual names of its parts, whatever the original's are, are those that calamine knows.

    Args:
        parts: XML of `styles` and `sharedStrings`, where the workbook has them.
        repair: repairs pieces that calamine refuses.
        uses_1904: whether its days count from 1904, as on old Macintosh computers.
    """

    def __init__(
        self, parts: Mapping[str, IO[bytes]], repair: CellRepair, *, uses_1904: bool
    ) -> None:
        self._repair = repair
        self._file = os.fdopen(os.memfd_create("workbook"), "w+b")
        with zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, xml in _PARTS.items():
                archive.writestr(name, xml)
            archive.writestr("xl/workbook.xml", _WORKBOOK % uses_1904)
            for name, source in parts.items():
                with archive.open(f"xl/{name}.xml", "w") as target:
                    shutil.copyfileobj(source, target, BLOCK_BYTES)
            self._end = self._file.tell()
        self._file.seek(self._end)
        self._directory = self._file.read()
        self.hidden_rows = array("L")
        """Numbers of the hidden rows among those that were given out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()

    def rows(self, pieces: Iterator[Piece]) -> Iterator[NumberedRow]:
        """The rows of a sheet's pieces that hold something.

        Raises:
            UnreadableUpload: the XML is damaged, or refers to texts that are not there.
        """
        while (loaded := self._load_next(pieces)) is not None:
            hidden, sheet = loaded
            (top, left), values = sheet.start or (0, 0), _values(sheet)
            del loaded, sheet  # as large as the values
            yield from self._numbered(top, left, values, hidden)

    def _load_next(self, pieces: Iterator[Piece]) -> tuple[frozenset[int], CalamineSheet] | None:
        piece = next(pieces, None)
        if piece is None:
            return None
        try:
            return piece.hidden_rows, self._sheet(piece.xml)
        except CalamineError:
            repaired = self._repair.repair_refused(piece.xml)
        try:
            return piece.hidden_rows, self._sheet(repaired)
        except CalamineError:
            raise workbook_error() from None

    def _sheet(self, xml: bytes) -> CalamineSheet:
        self._replace_sheet(xml)
        path = f"/proc/self/fd/{self._file.fileno()}"
        return CalamineWorkbook.from_path(path).get_sheet_by_index(0)

    def _numbered(
        self, top: int, left: int, rows: list[list[CellValue]], hidden: frozenset[int]
    ) -> Iterator[NumberedRow]:
        before = [""] * left
        for number, values in enumerate(rows, start=top + 1):
            # Most cells are short texts: a call for each would cost as much as all else here.
            texts = [
                value if type(value) is str and len(value) <= FIELD_MAX_CHARS else cell_text(value)
                for value in values
            ]
            cells = before + texts if left else texts
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                if number in hidden:
                    self.hidden_rows.append(number)
                yield number, cells

    def _replace_sheet(self, xml: bytes) -> None:
        self._file.seek(self._end)
        self._file.write(self._directory)
        self._file.truncate()
        with zipfile.ZipFile(self._file, "a") as archive:
            archive.writestr(_SHEET, xml)


class SheetRows:
    """The rows of a sheet that hold something, and what was found while they were read.

    Args:
        cutter: the sheet's XML.
        reader: reads its pieces.
        merged: its merged cells.
    """

    def __init__(self, cutter: SheetCutter, reader: PieceReader, merged: MergedCells) -> None:
        self._cutter = cutter
        self._reader = reader
        self._merged = merged
        self._header_row = 0
        self.first: list[tuple[int, list[str]]] = []
        """Beginnings of the first rows, from which the header may be chosen."""

    def __iter__(self) -> Iterator[NumberedRow]:
        """The rows as they are in the sheet, once.

        Raises:
            UnreadableUpload: the sheet is damaged.
        """
        with self._reader:
            yield from self._reader.rows(iter(self._cutter))

    def table(self, given: Sequence[str], header_row: int | None = None) -> TitledTable | None:
        """The titles, the header and the rows with merged cells filled; None for a blank sheet.

        Args:
            given: column names from the caller's options; they count as known.
            header_row: number of the row that the caller names as the header.
        """
        rows = iter(self)
        first = list(islice(rows, max(TITLE_ROWS_MAX, header_row or 0)))
        self.first = [
            (number, [cell[:SHOWN_MAX_CHARS] for cell in cells[:SHOWN_CELLS]])
            for number, cells in first
        ]
        table = split_titles(iter(self._merged.fill_down(first)), given, header_row)
        if table is None:
            return None
        header_at = len(table.titles)
        self._header_row = first[header_at][0]
        below = chain(first[header_at + 1 :], rows)
        return table._replace(rows=self._merged.fill(below, table.header))

    def report(self, width: int) -> dict[str, Any]:
        """What notices tell of the table, once its rows were read.

        Args:
            width: columns of the table.
        """
        hidden = {index for each in self._cutter.hidden_columns for index in each if index < width}
        return {
            "hidden_rows": sum(number > self._header_row for number in self._reader.hidden_rows),
            "hidden_columns": sorted(hidden),
            "merged_cells": self._merged.filled_cells,
            "missing_values": self._cutter.missing_values,
        }


def _values(sheet: CalamineSheet) -> list[list[CellValue]]:
    try:
        return sheet.to_python()
    except OverflowError:  # a duration of more years than Python has
        raise workbook_error() from None
