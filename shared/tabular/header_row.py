"""Finds the header among the first rows of a table: titles above it, units below it, or none."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from shared.domain.batch import BatchOptions
from shared.domain.errors import UnreadableUpload
from shared.domain.table import FileKind
from shared.fields.blanks import is_blank
from shared.fields.prices import find_currency
from shared.fields.units import FIELD_UNITS, find_unit
from shared.tabular.cell_evidence import is_car, is_year, may_describe_car
from shared.tabular.column_names import ASKING_PRICE, field_for_header, read_name

TITLE_ROWS_MAX = 20
"""A table may have titles above its header: the header is searched in so many rows."""

HEADER_MIN_FIELDS = 3
"""A single cell may be a known name by chance ("Première main"); three in one row are a header."""

ROW_NAMES_MIN_SHARE = 0.9
"""Share of the rows that have one cell more than the header, if that lacks a name for the first."""

UNIT_MAX_CHARS = 40
"""A longer cell is no unit."""

Rows = Sequence[Sequence[str]]
_SEPARATOR_LINE = re.compile(r"sep=.{0,2}", re.IGNORECASE)
_BRACKETED = re.compile(r"\s*(?:\((.*)\)|\[(.*)\]|\{(.*)\})\s*")
_BEHIND_WORDS = re.compile(
    r"(?:.*\s)?(?:in|en)\s+([^()\[\]]+)|.*[^\W\d_]\s*[(\[]([^()\[\]]+)[)\]]?", re.IGNORECASE
)
"""A description that ends with its unit: "Distance in miles", "int (miles)"."""


_TITLE_PARTS = re.compile(r"[,;:=|]|\s(?:-|\u2013|et|and|und)\s")

TITLE_MAX_CHARS = 400


class HeaderPlace(NamedTuple):
    """The names of the columns, and what stands around them."""

    header: Sequence[str]
    """Unique names."""
    rows: Rows
    """The data rows below."""
    has_header: bool = True
    unit_rows: int = 0
    units: Mapping[int, str] = {}
    """Texts of the units in a row below or above the header, by column."""
    titles: Rows = ()
    """The rows above the header, without that of the units."""
    has_row_names: bool = False
    """Whether the header lacks a name for the first column, as in files of R."""


def find_header(rows: Rows, given: Collection[str] = ()) -> int:
    """Index of the header among a table's first rows; the rows above it are titles.

    Args:
        rows: the first rows.
        given: column names from the caller's options; they count as known.

    >>> find_header([["Stock de mars"], ["Marque", "Modèle", "Année"], ["Dacia", "Logan", "2018"]])
    1
    """
    known = _known_cells(rows, given)
    most = max(known)
    if most >= HEADER_MIN_FIELDS:
        return known.index(most)
    is_directive = len(rows) > 1 and _SEPARATOR_LINE.fullmatch("".join(rows[0]).strip())
    return 1 if is_directive else 0


def header_index_of(numbers: Sequence[int], wanted: int) -> int:
    """Index of the row that the caller names as the header.

    Args:
        numbers: of the table's first rows: lines of a text, rows of a sheet.
        wanted: one of them.

    Raises:
        UnreadableUpload: none of these rows has this number.
    """
    if wanted not in numbers:
        found = ", ".join(map(str, numbers[:TITLE_ROWS_MAX]))
        raise UnreadableUpload.of("unknown-header-row", "?header", row=wanted, found=found)
    return numbers.index(wanted)


def has_header(rows: Rows, given: Collection[str] = ()) -> bool:
    """Whether one of a table's first rows is a header with known columns."""
    return max(_known_cells(rows, given), default=0) >= HEADER_MIN_FIELDS


def is_inner_header(header: Sequence[str], cells: Sequence[str]) -> bool:
    """Whether a row below a header is another header, or states units."""
    return _known_cells([cells], ())[0] >= HEADER_MIN_FIELDS or bool(_units_below(header, cells))


def _known_cells(rows: Rows, given: Collection[str]) -> list[int]:
    """Number of known column names in each of the first rows."""
    counts: list[int] = []
    for row in rows[:TITLE_ROWS_MAX]:
        if counts and max(counts) >= HEADER_MIN_FIELDS and is_car(row):
            break  # a header below cars is a second one
        fields = {cell: field_for_header(cell) for cell in map(str.strip, row) if cell}
        counts.append(
            len({field or cell for cell, field in fields.items() if field or cell in given})
        )
    return counts


def place_header(
    first: Sequence[str],
    rows: Rows,
    options: BatchOptions,
    kind: FileKind,
    titles: Rows = (),
) -> HeaderPlace:
    """What the first row of a table is, and the rows below it.

    Args:
        first: its cells: a header, or the first car.
        rows: the rows below.
        options: of the caller; `header` decides.
        kind: of the file; Parquet and JSON objects name their columns.
        titles: the rows above the first one.
    """
    is_row = kind is FileKind.JSON and is_car(first)  # a list of lists; names are no car
    can_lack_header = kind in (FileKind.CSV, FileKind.XLSX) or is_row
    is_headless = options.header is False or (options.header is None and _is_car(first, options))
    if can_lack_header and is_headless:
        return HeaderPlace(
            name_columns([""] * len(first)), [first, *rows], has_header=False, titles=titles
        )
    has_row_names = kind is FileKind.CSV and _lacks_a_name(first, rows)
    mapped = {field for field, _ in options.columns}
    names = name_columns(["", *first] if has_row_names else first, mapped)
    below = _units_below(names, rows[0]) if rows else {}
    above, titles = _split_units(names, titles, int(has_row_names))
    return HeaderPlace(
        names,
        rows[1:] if below else rows,
        unit_rows=int(bool(below)),
        units={**above, **below},
        titles=titles,
        has_row_names=has_row_names,
    )


def _split_units(header: Sequence[str], titles: Rows, shift: int) -> tuple[Mapping[int, str], Rows]:
    """The units in the last filled row above a header, by column; the other rows above it.

    Args:
        header: the names of the columns.
        titles: the rows above.
        shift: columns of the header that these rows lack.
    """
    filled = [row for row in titles if not all(map(is_blank, row))]
    if not filled:
        return {}, titles
    cells = dict(enumerate(filled[-1], start=shift))
    units = {
        index: unit
        for index, cell in cells.items()
        if index < len(header) and (unit := _stated_unit(header[index], cell[:UNIT_MAX_CHARS]))
    }
    is_title = any(index not in units and not is_blank(cell) for index, cell in cells.items())
    return units, titles if is_title else filled[:-1]


def units_in_titles(titles: Rows) -> list[str]:
    """Texts in the rows above a header that may be units of columns: "Distances in miles"."""
    texts: dict[str, None] = {}
    for cell in (cell for row in titles for cell in row if not is_blank(cell)):
        for part in _TITLE_PARTS.split(cell[:TITLE_MAX_CHARS]):
            described = _BEHIND_WORDS.fullmatch(part.strip())
            found = [part, *filter(None, described.groups())] if described else [part]
            texts |= dict.fromkeys(text.strip(" .") for text in found)
    return [text for text in texts if len(text) > 1]


def _is_car(cells: Sequence[str], options: BatchOptions) -> bool:
    named = {column for _, column in options.columns}
    return not named.intersection(cells) and is_car(cells)


def _lacks_a_name(first: Sequence[str], rows: Rows) -> bool:
    """Whether nearly all rows have one cell more than the header, which is filled."""
    if not rows or len(first) < HEADER_MIN_FIELDS or _known_cells([first], ())[0] == 0:
        return False
    longer = [row for row in rows if len(row) == len(first) + 1]
    if len(longer) < ROW_NAMES_MIN_SHARE * len(rows) or not any(row[-1].strip() for row in longer):
        return False
    year = next((at for at, name in enumerate(first) if field_for_header(name) == "year"), None)
    return year is None or _years(longer, year + 1) > _years(longer, year)


def _years(rows: Rows, column: int) -> int:
    return sum(is_year(row[column]) for row in rows)


def _units_below(header: Sequence[str], cells: Sequence[str]) -> dict[int, str]:
    """The units in the row below a header, by column; none if that row may be a car.

    Columns without a unit may have descriptions there, types ("text", "YYYY") or signs ("[-]").
    """
    units: dict[int, str] = {}
    for index, cell in enumerate(cells[: len(header)]):
        if is_blank(cell):
            continue
        unit = _stated_unit(header[index], cell[:UNIT_MAX_CHARS])
        if unit is not None:
            units[index] = unit
        elif may_describe_car(cell):
            return {}
    return units


def _stated_unit(name: str, cell: str) -> str | None:
    """The unit that a cell below a column's name states, alone or behind a description."""
    return next((text for text in unit_texts(cell) if _is_unit(name, text)), None)


def unit_texts(cell: str) -> list[str]:
    """The texts that may be a unit in a cell that holds no value.

    >>> unit_texts("(miles)"), unit_texts("Distance in miles")
    (['miles'], ['Distance in miles', 'miles'])
    """
    cell = cell[:UNIT_MAX_CHARS]
    inside = _BRACKETED.fullmatch(cell)
    text = next(filter(None, inside.groups()), "") if inside else cell
    described = _BEHIND_WORDS.fullmatch(text)
    texts = [text, *filter(None, described.groups())] if described else [text]
    return [text.strip() for text in texts]


def _is_unit(name: str, text: str) -> bool:
    named = read_name(name)
    combined = read_name(f"{name} ({text})")
    if named is not None and named.field == ASKING_PRICE:
        return find_currency(text) is not None
    if combined is not None and combined.unit is not None:
        return True
    # The caller may say what an unknown name means; a merged one covers several columns.
    return named is None and any(find_unit(field, text) for field in FIELD_UNITS)


def name_columns(cells: Sequence[str], mapped: Collection[str] = ()) -> list[str]:
    """Header cells as names; a column without one is named by its position.

    A repeated unknown name gets a number. A repeated name of a field stays as it is: the caller has
    to say which column is meant.

    Args:
        cells: of the header.
        mapped: fields whose column the caller has named; their repeated names get numbers.

    >>> name_columns([" Marque ", "", "Note", "Note"])
    ['Marque', 'column_2', 'Note', 'Note (2)']
    """
    names: list[str] = []
    seen: Counter[str] = Counter()
    taken = {cell.strip() for cell in cells}
    for index, cell in enumerate(cells):
        name = cell.strip() or f"column_{index + 1}"
        seen[name] += 1
        number, numbered = seen[name], name
        named = read_name(name)
        is_free = named is None or named.field in mapped
        while number > 1 and is_free and (numbered in names or numbered in taken):
            numbered = f"{name} ({number})"
            number += 1
        names.append(numbered)
    return names
