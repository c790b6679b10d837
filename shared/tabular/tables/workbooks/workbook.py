"""An Excel workbook: its parts, its sheets and their rows, read in bounded memory.

Values are those that Excel last saved: of a formula, its cached result. Nothing is computed, no
macro is read, and no document type declaration is accepted.
"""

import io
import posixpath
import zipfile
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import IO, BinaryIO, NamedTuple
from urllib.parse import unquote
from xml.parsers import expat

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.tabular.header_row import TITLE_ROWS_MAX, has_header
from shared.tabular.tables.workbooks.cell_repair import CellRepair
from shared.tabular.tables.workbooks.merged_cells import MergedCells
from shared.tabular.tables.workbooks.pieces import SheetCutter, read_tail, tail_of, workbook_error
from shared.tabular.tables.workbooks.sheet_reader import PieceReader, SheetRows

MAX_SHEETS_INSPECTED = 20
SHEETS_SHOWN = 40
BLOCK_BYTES = 1 << 16

PIECE_BYTES = 16_000_000
"""Sheet XML that is read at once. Smaller pieces take less memory and more time: the shared
strings are parsed again for each."""

SHEET_IN_MEMORY_MAX_BYTES = 32_000_000
"""Larger sheets are decompressed twice: what is merged stands behind the rows."""

INSPECTED_PIECE_BYTES = 262_144
"""Enough for the first rows, of which a sheet is guessed."""

STYLES_MAX_BYTES = 16_000_000
_CONTENT_TYPES = "[Content_Types].xml"
_WORKBOOK_TYPE = "main+xml"
_STYLE_SECTIONS = ("numFmts", "cellStyleXfs", "cellXfs", "cellStyles", "dxfs")
_TRUE = ("1", "true")


class Relationship(NamedTuple):
    """A reference from one part of the package to another."""

    id: str
    kind: str
    """Last word of its type: `worksheet`, `sharedStrings`, …; the same in strict files."""
    target: str
    """Name of the other part."""


class Sheet(NamedTuple):
    """A sheet of a workbook."""

    name: str
    part: str
    """Its part in the package."""
    is_hidden: bool = False


class Package:
    """The ZIP archive of a workbook.

    Part names are compared as Excel does: without case, and with either slash. References may
    write them with percent signs.

    Args:
        stream: the file, seekable.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(stream)
        self._entries = {_part_name(each.filename): each for each in self._archive.infolist()}

    def has(self, part: str) -> bool:
        """Whether the package has a part."""
        return self._entry(part) is not None

    def size(self, part: str) -> int:
        """Bytes of a part, decompressed; 0 if it is missing."""
        entry = self._entry(part)
        return entry.file_size if entry else 0

    def open(self, part: str) -> IO[bytes]:
        """A part, decompressed.

        Raises:
            KeyError: it is missing.
        """
        entry = self._entry(part)
        if entry is None:
            raise KeyError(part)
        return self._archive.open(entry)

    def _entry(self, part: str) -> zipfile.ZipInfo | None:
        name = _part_name(part)
        return self._entries.get(name) or self._entries.get(unquote(name))

    def part_of_type(self, ending: str) -> str | None:
        """The part whose content type ends with a text; None if no part is said to be such."""
        found: list[str] = []

        def read(element: str, attributes: dict[str, str]) -> None:
            if element == "Override" and attributes.get("ContentType", "").endswith(ending):
                found.append(attributes.get("PartName", ""))

        if self.has(_CONTENT_TYPES):
            with self.open(_CONTENT_TYPES) as stream:
                parse_elements(stream, read)
        return next(filter(self.has, found), None)

    def relationships(self, part: str) -> list[Relationship]:
        """What a part refers to; that of the package itself for the part "".

        Raises:
            KeyError: it has no relationships.
            UnreadableUpload: they are damaged.
        """
        folder, name = posixpath.split(part)
        found: list[Relationship] = []

        def read(element: str, attributes: dict[str, str]) -> None:
            if element == "Relationship":
                target = attributes.get("Target", "").replace("\\", "/")
                target = posixpath.normpath(posixpath.join("/", folder, target))
                kind = attributes.get("Type", "").rpartition("/")[2]
                found.append(Relationship(attributes.get("Id", ""), kind, target))

        with self.open(posixpath.join(folder, "_rels", f"{name}.rels")) as stream:
            parse_elements(stream, read)
        return found


class Workbook:
    """A workbook that is open for reading.

    Args:
        stream: the file, seekable.

    Raises:
        UnreadableUpload: it is damaged.
        KeyError: a part is missing.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._package = Package(stream)
        part = self._workbook_part()
        folder = posixpath.dirname(part)
        self.has_macros = self._package.has(posixpath.join(folder, "vbaProject.bin"))
        related = self._package.relationships(part)
        targets = {each.id: each.target for each in related if each.kind == "worksheet"}
        self._uses_1904 = self._is_calculated_on_load = False
        self.sheets = self._read_sheets(part, targets)
        kinds = {each.kind: each.target for each in related}
        self._styles = kinds.get("styles", posixpath.join(folder, "styles.xml"))
        self._strings = kinds.get("sharedStrings", posixpath.join(folder, "sharedStrings.xml"))
        if self._package.size(self._styles) > STYLES_MAX_BYTES:
            raise workbook_error("table-too-large")
        self._units = self._read_units() if self._package.has(self._styles) else {}

    def sheet(self, wanted: str | None, given: Collection[str] = ()) -> Sheet:
        """A sheet by its name or its number.

        For None it is the first one that names columns of cars, of those that are not hidden; the
        first of these if none does. Hidden sheets are taken where all others are blank.

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
        found = ", ".join(sheet.name for sheet in self.sheets[:SHEETS_SHOWN])
        problem = FieldProblem("?sheet", "unknown-sheet", sheet=wanted or "1", found=found)
        raise UnreadableUpload([problem])

    def rows(self, sheet: Sheet) -> SheetRows:
        """The rows of a sheet that hold something."""
        stream: IO[bytes] = self._package.open(sheet.part)
        if self._package.size(sheet.part) <= SHEET_IN_MEMORY_MAX_BYTES:
            with stream:
                xml = stream.read()
            tail, stream = tail_of(xml), io.BytesIO(xml)
        else:
            tail = read_tail(stream)
            stream.seek(0)
        return self._sheet_rows(stream, PIECE_BYTES, MergedCells(tail))

    def _workbook_part(self) -> str:
        if self._package.has("_rels/.rels"):
            for each in self._package.relationships(""):
                if each.kind == "officeDocument" and self._package.has(each.target):
                    return each.target
        return self._package.part_of_type(_WORKBOOK_TYPE) or "xl/workbook.xml"

    def _read_sheets(self, part: str, targets: dict[str, str]) -> list[Sheet]:
        """The sheets in the workbook's order; sets the properties of the workbook, too."""
        sheets: list[Sheet] = []

        def read(element: str, attributes: dict[str, str]) -> None:
            if element == "sheet":
                ids = (attributes[key] for key in attributes if key.endswith(":id"))
                target = targets.get(next(ids, ""))
                if target is not None:
                    is_hidden = attributes.get("state", "visible") != "visible"
                    sheets.append(Sheet(attributes.get("name", ""), target, is_hidden))
            elif element == "workbookPr" and attributes.get("date1904") in _TRUE:
                self._uses_1904 = True
            elif element == "calcPr" and attributes.get("fullCalcOnLoad") in _TRUE:
                self._is_calculated_on_load = True

        with self._package.open(part) as stream:
            parse_elements(stream, read)
        return sheets

    def _guess_sheet(self, given: Collection[str]) -> Sheet:
        if len(self.sheets) == 1:
            return self.sheets[0]
        shown = [sheet for sheet in self.sheets if not sheet.is_hidden]
        is_blank = True
        for sheet in shown[:MAX_SHEETS_INSPECTED]:
            first = self._first_rows(sheet)
            if has_header(first, given):
                return sheet
            is_blank = is_blank and not first
        if is_blank:
            hidden = [sheet for sheet in self.sheets if sheet.is_hidden]
            for sheet in hidden[:MAX_SHEETS_INSPECTED]:
                if has_header(self._first_rows(sheet), given):
                    return sheet
        return shown[0] if shown else self.sheets[0]

    def _first_rows(self, sheet: Sheet) -> list[Sequence[str]]:
        with self._package.open(sheet.part) as stream:
            rows = self._sheet_rows(stream, INSPECTED_PIECE_BYTES, MergedCells(b""))
            return [cells for _, cells in islice(rows, TITLE_ROWS_MAX)]

    def _sheet_rows(self, stream: IO[bytes], piece_bytes: int, merged: MergedCells) -> SheetRows:
        repair = CellRepair(self._units, is_calculated_on_load=self._is_calculated_on_load)
        cutter = SheetCutter(stream, piece_bytes, repair)
        return SheetRows(cutter, self._piece_reader(repair), merged)

    def _read_units(self) -> dict[int, str]:
        """The foreign currencies and units that number formats show, by cell style."""
        formats: dict[str, str] = {}
        styles: list[str] = []
        section = ""

        def read(element: str, attributes: dict[str, str]) -> None:
            nonlocal section
            if element in _STYLE_SECTIONS:
                section = element
            elif element == "numFmt" and section == "numFmts":
                formats[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            elif element == "xf" and section == "cellXfs":
                styles.append(attributes.get("numFmtId", ""))

        with self._package.open(self._styles) as stream:
            parse_elements(stream, read)
        if not formats:
            return {}
        from shared.tabular.tables.workbooks.number_formats import shown_unit  # noqa: PLC0415 - patterns

        shown = {number: shown_unit(code) for number, code in formats.items()}
        return {
            index: unit
            for index, number in enumerate(styles)
            if (unit := shown.get(number)) is not None
        }

    def _piece_reader(self, repair: CellRepair) -> PieceReader:
        parts = {
            name: self._package.open(part)
            for name, part in (("styles", self._styles), ("sharedStrings", self._strings))
            if self._package.has(part)
        }
        return PieceReader(parts, repair, uses_1904=self._uses_1904)


def parse_elements(stream: IO[bytes], start: Callable[[str, dict[str, str]], None]) -> None:
    """Parse XML, calling `start` with the local name and the attributes of each element.

    Raises:
        UnreadableUpload: it is not well-formed, or declares a document type.
    """

    def refuse(*_: object) -> None:
        raise workbook_error()

    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, given: start(name.rpartition(":")[2], given)
    parser.StartDoctypeDeclHandler = refuse
    try:
        while block := stream.read(BLOCK_BYTES):
            parser.Parse(block, False)  # noqa: FBT003 - expat takes it by position
        parser.Parse(b"", True)  # noqa: FBT003
    except expat.ExpatError:
        raise workbook_error() from None


def _part_name(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()
