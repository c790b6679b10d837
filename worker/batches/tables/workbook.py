"""An Excel workbook: its parts, its sheets and their rows, read in bounded memory.

Values are those that Excel last saved: of a formula, its cached result. Nothing is computed, no
macro is read, and no document type declaration is accepted.
"""

import io
import posixpath
import zipfile
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import IO, BinaryIO, NamedTuple
from xml.parsers import expat

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.tabular.header_row import TITLE_ROWS_MAX, has_header
from worker.batches.tables.merged_cells import MergedCells
from worker.batches.tables.pieces import SheetCutter, read_tail, workbook_error
from worker.batches.tables.rows import NumberedRow
from worker.batches.tables.sheet_reader import PieceReader

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

    Part names are compared as Excel does: without case, and with either slash.

    Args:
        stream: the file, seekable.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(stream)
        self._entries = {_part_name(each.filename): each for each in self._archive.infolist()}

    def has(self, part: str) -> bool:
        """Whether the package has a part."""
        return _part_name(part) in self._entries

    def size(self, part: str) -> int:
        """Bytes of a part, decompressed; 0 if it is missing."""
        entry = self._entries.get(_part_name(part))
        return entry.file_size if entry else 0

    def open(self, part: str) -> IO[bytes]:
        """A part, decompressed.

        Raises:
            KeyError: it is missing.
        """
        return self._archive.open(self._entries[_part_name(part)])

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
        self.sheets, self._uses_1904 = self._read_sheets(part, targets)
        kinds = {each.kind: each.target for each in related}
        self._styles = kinds.get("styles", posixpath.join(folder, "styles.xml"))
        self._strings = kinds.get("sharedStrings", posixpath.join(folder, "sharedStrings.xml"))
        self.hidden_rows = 0
        """Rows hidden by hand or by a filter among those that `rows` gave last."""

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
        found = ", ".join(sheet.name for sheet in self.sheets[:SHEETS_SHOWN])
        problem = FieldProblem("?sheet", "unknown-sheet", sheet=wanted or "1", found=found)
        raise UnreadableUpload([problem])

    def rows(self, sheet: Sheet) -> Iterator[NumberedRow]:
        """The rows of a sheet that hold something.

        A value that is merged over several rows stands in each of them that holds something else.
        """
        with self._package.open(sheet.part) as part:
            is_small = self._package.size(sheet.part) <= SHEET_IN_MEMORY_MAX_BYTES
            stream = io.BytesIO(part.read()) if is_small else part
            merged = MergedCells(read_tail(stream))
            stream.seek(0)
            yield from merged.fill(self._rows(stream, PIECE_BYTES))

    def _workbook_part(self) -> str:
        main = "xl/workbook.xml"
        if self._package.has("_rels/.rels"):
            for each in self._package.relationships(""):
                if each.kind == "officeDocument" and self._package.has(each.target):
                    return each.target
        return main

    def _read_sheets(self, part: str, targets: dict[str, str]) -> tuple[list[Sheet], bool]:
        """The sheets in the workbook's order, and whether its days count from 1904."""
        sheets: list[Sheet] = []
        flags: set[str] = set()

        def read(element: str, attributes: dict[str, str]) -> None:
            if element == "sheet":
                ids = (attributes[key] for key in attributes if key.endswith(":id"))
                target = targets.get(next(ids, ""))
                if target is not None:
                    is_hidden = attributes.get("state", "visible") != "visible"
                    sheets.append(Sheet(attributes.get("name", ""), target, is_hidden))
            elif element == "workbookPr" and attributes.get("date1904", "0") in {"1", "true"}:
                flags.add("1904")

        with self._package.open(part) as stream:
            parse_elements(stream, read)
        return sheets, bool(flags)

    def _guess_sheet(self, given: Collection[str]) -> Sheet:
        shown = [sheet for sheet in self.sheets if not sheet.is_hidden] or self.sheets
        if len(shown) == 1:
            return shown[0]
        for sheet in shown[:MAX_SHEETS_INSPECTED]:
            with self._package.open(sheet.part) as stream:
                first = islice(self._rows(stream, INSPECTED_PIECE_BYTES), TITLE_ROWS_MAX)
                if has_header([cells for _, cells in first], given):
                    return sheet
        return shown[0]

    def _rows(self, stream: IO[bytes], piece_bytes: int) -> Iterator[NumberedRow]:
        with self._piece_reader() as reader:
            yield from reader.rows(iter(SheetCutter(stream, piece_bytes)))
            self.hidden_rows = reader.hidden_rows

    def _piece_reader(self) -> PieceReader:
        if self._package.size(self._styles) > STYLES_MAX_BYTES:
            raise workbook_error("table-too-large")
        parts = {
            name: self._package.open(part)
            for name, part in (("styles", self._styles), ("sharedStrings", self._strings))
            if self._package.has(part)
        }
        return PieceReader(parts, uses_1904=self._uses_1904)


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
