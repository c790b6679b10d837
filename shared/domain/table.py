"""The dialect of an uploaded file of cars: format, columns, and the confidence of each finding."""

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Self

NUMBERED_ENCODING, NUMBERED_DELIMITER = "utf-8", ","
"""Of the numbered CSV that a worker makes of a workbook or Parquet file."""


class FileKind(StrEnum):
    """Kind of an uploaded file, by its content."""

    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"
    JSON = "json"
    """JSON Lines, or a JSON array of objects."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """A detected property of a file."""

    value: str
    confidence: float
    """From 0, a guess, to 1, certain: a rank of the evidence, no probability."""
    basis: str
    """The evidence: `given`, `byte-order-mark`, `valid-utf-8`, …"""


def known_members(kind: type[Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a stored record that a dataclass or named tuple has; others are newer."""
    names = getattr(kind, "_fields", None) or [each.name for each in dataclasses.fields(kind)]
    return {name: members[name] for name in names if name in members}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ColumnMatch:
    """The column of a file that is one of the car's fields."""

    index: int
    """Its index in the header, from 0."""
    confidence: float
    basis: str
    """`given`, `name`, `alias`, `alias-and-unit`, `date`, `near`, `title` or `cells`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A remark on a file that is no error."""

    code: str
    field: str | None = None
    values: tuple[str, ...] = ()
    rows: int | None = None
    """Number of the file's first rows that were looked at; None: all."""
    count: int | None = None
    """Number of valued rows that it is about; None while it is not counted."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class UnitColumn:
    """The column that states the unit of each row's value of a field, or its currency."""

    index: int
    """Its index in the header, from 0."""
    stated: str | None
    """The unit that the header of the values states, for rows that state none."""
    usual: str | None
    """The unit of all first rows; None if they differ, or one of them states none."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OtherColumn:
    """A second column of a field, perhaps in another unit, read where its own column is blank."""

    index: int
    """Its index in the header, from 0."""
    unit: str
    """The unit of its numbers; empty for that of the field's own column."""


LATER_MEMBERS = ("unit_columns", "other_columns")
"""Members of a dialect that the first release does not know, and does not accept."""


class TextForm(NamedTuple):
    """How the text that chunks are cut from represents its table."""

    encoding: str
    delimiter: str
    width: int
    """Columns, with that of the row numbers."""
    is_numbered: bool
    """Whether the first column is the row's number in the sheet or Parquet file."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How a file represents its table."""

    encoding: str = ""
    """Codec name: `utf-8`, `utf-16-le`, `cp1252`, …; empty for a workbook or Parquet file."""
    delimiter: str = ""
    decimal: str = "auto"
    """`,` or `.` if the numbers of the file prove it or the caller gives it; `auto` otherwise."""
    header: tuple[str, ...] = ()
    """The file's column names, in order; empty while a workbook or Parquet file is not opened."""
    titles: int = 0
    """Rows above the header of a text file: a title, or Excel's `sep=;`."""
    has_header: bool = True
    """Whether the file has a header row; if not, the names in `header` are positions."""
    unit_rows: int = 0
    """Rows with units below the header, which are left out."""
    kind: FileKind = FileKind.CSV
    columns: Mapping[str, ColumnMatch] = dataclasses.field(default_factory=dict)
    """Columns by field of the car."""
    asking: ColumnMatch | None = None
    """The column of asking prices in dirhams, if there is one."""
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Units by field that are stated for a whole column and are not the field's own."""
    unit_columns: Mapping[str, UnitColumn] = dataclasses.field(default_factory=dict)
    """By field: the column with the units of its values. The usual one is in `units`, too."""
    other_columns: Mapping[str, OtherColumn] = dataclasses.field(default_factory=dict)
    """By field, the column that is read in the rows in which the field's own is blank."""
    constants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Text of the fields that the caller states for all rows; such a field is in no column."""
    currency: str | None = None
    """Code of the foreign currency of the prices, if they have one; `asking` is None then."""
    quoted_lines: bool = False
    """Whether each line stands in quotes as a whole."""
    skip_initial_space: bool = False
    """Whether spaces after a delimiter are no part of the cell, so that it may be quoted."""
    misread_as: str = ""
    """The encoding under which UTF-8 bytes were once misread and saved again; mostly empty.

    Each cell for which that can be undone is restored."""
    is_corrected: bool = False
    """Whether the text is numbered CSV of corrected rows, whatever kind of file they came in."""
    findings: Mapping[str, Detection] = dataclasses.field(default_factory=dict)
    """By property: `encoding`, `delimiter`, `decimal`, `sheet`."""
    notices: tuple[Notice, ...] = ()

    @property
    def column_indexes(self) -> dict[str, int]:
        """Index of the column of each field that the file has."""
        return {field: match.index for field, match in self.columns.items()}

    @property
    def asking_index(self) -> int | None:
        """Index of the column of asking prices; None if the file has none."""
        return None if self.asking is None else self.asking.index

    @property
    def has_usual_units(self) -> bool:
        """Whether the first rows of each column of units agree."""
        return all(column.usual is not None for column in self.unit_columns.values())

    @property
    def has_later_members(self) -> bool:
        """Whether the first release cannot read it."""
        return any(getattr(self, name) for name in LATER_MEMBERS)

    @property
    def is_plain_csv(self) -> bool:
        """Whether the bytes between two delimiters are a cell, as the fast CSV engine expects."""
        return not (self.quoted_lines or self.skip_initial_space or self.misread_as)

    @property
    def text_form(self) -> TextForm:
        """The form of the text that chunks are cut from; the header is known."""
        width = len(self.header)
        if self.kind is FileKind.CSV and not self.is_corrected:
            return TextForm(self.encoding, self.delimiter, width, is_numbered=False)
        return TextForm(NUMBERED_ENCODING, NUMBERED_DELIMITER, width + 1, is_numbered=True)

    @property
    def is_opened(self) -> bool:
        """Whether the header is known; a worker reads that of a workbook or Parquet file."""
        return bool(self.header)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready members; the inverse of `from_json`.

        Members that the first release does not know are left out if they say nothing: its workers
        accept no further ones.
        """
        members = dataclasses.asdict(self)
        unused = [name for name in LATER_MEMBERS if not members[name]]
        return {name: value for name, value in members.items() if name not in unused}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild the dialect from `to_json`'s members; those of a newer version are ignored."""
        columns, findings = members["columns"], members["findings"]
        notices = [
            known_members(Notice, each) | {"values": tuple(each["values"])}
            for each in members["notices"]
        ]
        asking = members.get("asking")
        parsed = {
            "header": tuple(members["header"]),
            "kind": FileKind(members["kind"]),
            "columns": {name: _column(match) for name, match in columns.items()},
            "asking": _column(asking) if asking else None,
            "unit_columns": {
                name: UnitColumn(**known_members(UnitColumn, each))
                for name, each in members.get("unit_columns", {}).items()
            },
            "findings": {
                name: Detection(**known_members(Detection, found))
                for name, found in findings.items()
            },
            "other_columns": {
                name: OtherColumn(**known_members(OtherColumn, each))
                for name, each in members.get("other_columns", {}).items()
            },
            "notices": tuple(Notice(**each) for each in notices),
        }
        return cls(**known_members(cls, members) | parsed)


def _column(members: Mapping[str, Any]) -> ColumnMatch:
    return ColumnMatch(**known_members(ColumnMatch, members))
