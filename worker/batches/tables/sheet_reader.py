"""Pieces of a sheet, read by python-calamine."""

import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, Self

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from shared.tabular.csv_reader import FIELD_MAX_CHARS
from worker.batches.tables.cells import CellValue, cell_text
from worker.batches.tables.pieces import BLOCK_BYTES, Piece, workbook_error
from worker.batches.tables.rows import NumberedRow

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
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
        uses_1904: whether its days count from 1904, as on old Macintosh computers.
    """

    def __init__(self, parts: Mapping[str, IO[bytes]], *, uses_1904: bool) -> None:
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
        self.hidden_rows = 0
        """How many of the rows that were given out are hidden."""

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
        self._replace_sheet(piece.xml)
        try:
            path = f"/proc/self/fd/{self._file.fileno()}"
            return piece.hidden_rows, CalamineWorkbook.from_path(path).get_sheet_by_index(0)
        except CalamineError:
            raise workbook_error() from None

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
                self.hidden_rows += number in hidden
                yield number, cells

    def _replace_sheet(self, xml: bytes) -> None:
        self._file.seek(self._end)
        self._file.write(self._directory)
        self._file.truncate()
        with zipfile.ZipFile(self._file, "a") as archive:
            archive.writestr(_SHEET, xml)


def _values(sheet: CalamineSheet) -> list[list[CellValue]]:
    try:
        return sheet.to_python()
    except OverflowError:  # a duration of more years than Python has
        raise workbook_error() from None
