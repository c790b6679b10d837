"""Completes a dialect from the first rows of a table: columns, decimal sign, notices."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from shared.domain.batch import BatchOptions
from shared.domain.errors import UnreadableUpload
from shared.domain.table import ColumnMatch, Detection, Dialect, FileKind, Notice
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import UNPRICED, Category
from shared.fields.kinds.number import Number
from shared.fields.quantities import OPEN_RANGE
from shared.tabular.column_names import ASKING_PRICE, find_column
from shared.tabular.columns.missing_columns import format_header
from shared.tabular.csv_reader import COLUMNS_MAX
from shared.tabular.header_row import (
    HeaderPlace,
    is_inner_header,
    name_columns,
    place_header,
    units_in_titles,
)
from shared.tabular.headers import match_columns

NOTICE_MAX_VALUES = 5
"""Maximum values that a notice quotes."""

NOTICE_MAX_CHARS = 40
"""Maximum characters of each quoted value."""

IGNORED_OPTIONS: Mapping[FileKind, Sequence[str]] = {
    FileKind.CSV: ("sheet",),
    FileKind.XLSX: ("encoding", "delimiter"),
    FileKind.PARQUET: ("encoding", "delimiter", "sheet", "header"),
    FileKind.JSON: ("encoding", "delimiter", "sheet", "header"),
}
"""Options that do not apply to a kind of file."""

CONSTANT_NOTICES = {UNPRICED: "unpriced-constant", OPEN_RANGE: "open-range-constant"}
"""Notices about constants, by the code of the value."""

Rows = Sequence[Sequence[str]]
_COMMA_DECIMALS = re.compile(r"(?:^|\D)\d+,\d{1,2}(?:\D|$)")
_DOT_DECIMALS = re.compile(r"(?:^|\D)\d+\.\d{1,2}(?:\D|$)")
_WHOLE_YEAR = re.compile(r"\s*\d{4}[.,]0{1,2}\s*")
"""A year as programs write it that keep all numbers as decimal ones."""


class Sample(NamedTuple):
    """The first rows of a table."""

    header: Sequence[str]
    """Cells of the first row: the header, or the first car of a table without one."""
    rows: Rows
    is_whole: bool
    """Whether these are all rows of the table."""
    titles: Rows = ()
    """The rows above the header."""


def complete_dialect(sample: Sample, options: BatchOptions, known: Dialect) -> Dialect:
    """Add columns, units, decimal sign and notices to a dialect.

    Args:
        sample: header, or first car, and first rows.
        options: of the caller, which take precedence.
        known: the dialect without them.

    Raises:
        UnreadableUpload: all cells are blank, or required columns are missing or ambiguous.
    """
    if options.expected_header:
        return dataclasses.replace(known, header=tuple(name_columns(sample.header)))
    if sample.is_whole and not any(
        cell.strip() for row in (sample.header, *sample.rows) for cell in row
    ):
        raise UnreadableUpload.of("empty-file")
    if len(sample.header) > COLUMNS_MAX:
        count = len(sample.header)
        raise UnreadableUpload.of("too-many-columns", "/header", maximum=COLUMNS_MAX, count=count)
    place = place_header(sample.header, sample.rows, options, known.kind, sample.titles)
    rows = [row for row in place.rows if not is_inner_header(place.header, row)]
    place = place._replace(rows=rows)
    sample = Sample(place.header, rows, sample.is_whole, place.titles)
    found = match_columns(
        place.header,
        options.columns,
        place.rows,
        constants=dict(options.constants),
        has_header=place.has_header,
        units_around=place.units,
        titles=units_in_titles(place.titles),
        given_units=dict(options.units),
    )
    _check_key_column(place.header, options.key_column)
    numbers = (
        found.columns if found.asking is None else {**found.columns, ASKING_PRICE: found.asking}
    )
    decimal = find_decimal(place.rows, numbers, options.decimal)
    notices = (
        *_option_notices(known.kind, options),
        *_place_notices(place),
        *found.notices,
        *_constant_notices(options),
        *_key_notices(sample, options.key_column),
        *_cell_notices(sample, found.columns),
    )
    return dataclasses.replace(
        known,
        header=tuple(place.header),
        has_header=place.has_header,
        unit_rows=place.unit_rows,
        columns=found.columns,
        asking=found.asking,
        units=found.units,
        unit_columns=found.unit_columns,
        other_columns=found.other_columns,
        constants=dict(options.constants),
        currency=found.currency,
        decimal=decimal.value,
        findings={**known.findings, "decimal": decimal},
        notices=(*_title_notices(place.titles), *known.notices, *notices),
    )


def _place_notices(place: HeaderPlace) -> Iterator[Notice]:
    """Notices about rows and names around the header."""
    if place.has_row_names:
        yield Notice(code="row-names", values=(place.header[0],))
    if place.units:
        code = "units-below-header" if place.unit_rows else "units-above-header"
        yield Notice(code=code, values=tuple(place.units.values()))


def _key_notices(sample: Sample, key_column: str | None) -> Iterator[Notice]:
    """The notice that cells of the key column repeat or are empty."""
    key = key_index(sample.header, key_column)
    if key is None:
        return
    counts = Counter(cell.strip() for cell in _cells(sample.rows, key))
    repeated = [cell for cell, count in counts.items() if count > 1 or not cell]
    if repeated:
        quoted = tuple(cell[:NOTICE_MAX_CHARS] or "«»" for cell in repeated[:NOTICE_MAX_VALUES])
        looked_at = None if sample.is_whole else len(sample.rows)
        yield Notice(code="repeated-keys", values=quoted, rows=looked_at)


def key_index(header: Sequence[str], key_column: str | None) -> int | None:
    """Index of the column that identifies the rows, by its name in any spelling."""
    return None if key_column is None else find_column(header, key_column)


def _check_key_column(header: Sequence[str], key_column: str | None) -> None:
    if key_column is not None and key_index(header, key_column) is None:
        found = format_header(header)
        raise UnreadableUpload.of("unknown-key-column", "/header", column=key_column, found=found)


def find_decimal(rows: Rows, columns: Mapping[str, ColumnMatch], wanted: str | None) -> Detection:
    """The decimal sign that the numbers of the sample use; `auto` if none or both are used."""
    if wanted:
        return Detection(value=wanted, confidence=1.0, basis="given")
    votes: Counter[str] = Counter()
    for name, match in columns.items():
        if isinstance(CAR_FIELDS[name], Number):
            for cell in _cells(rows, match.index):
                if name == "year" and not _WHOLE_YEAR.fullmatch(cell):
                    continue  # the points of a date are no decimal signs
                votes[","] += _COMMA_DECIMALS.search(cell) is not None
                votes["."] += _DOT_DECIMALS.search(cell) is not None
    if not votes.total():
        return Detection(value="auto", confidence=0.5, basis="no-decimals-seen")
    sign, count = votes.most_common(1)[0]
    if count < votes.total():
        return Detection(value="auto", confidence=0.5, basis="both-signs-seen")
    return Detection(value=sign, confidence=round(1 - 1 / (2 + count), 2), basis="decimals-seen")


def _title_notices(titles: Rows) -> tuple[Notice, ...]:
    """The notice that rows above the header are ignored; it quotes the first cell of each."""
    if not titles:
        return ()
    values = tuple(
        next(filter(None, row), "")[:NOTICE_MAX_CHARS] for row in titles[:NOTICE_MAX_VALUES]
    )
    return (Notice(code="titles-left-out", values=values),)


def _constant_notices(options: BatchOptions) -> Iterator[Notice]:
    """Notices about values for all rows that do not count as they stand."""
    for field, text in options.constants:
        _, code = CAR_FIELDS[field].read_with_code(text)
        if code in CONSTANT_NOTICES:
            yield Notice(
                code=CONSTANT_NOTICES[code], field=field, values=(text[:NOTICE_MAX_CHARS],)
            )


def _option_notices(kind: FileKind, options: BatchOptions) -> Iterator[Notice]:
    """The notice that options were given which do not apply to such a file."""
    without_use = tuple(
        name for name in IGNORED_OPTIONS[kind] if getattr(options, name) is not None
    )
    if without_use:
        yield Notice(code="options-without-use", values=without_use)


def _cell_notices(sample: Sample, columns: Mapping[str, ColumnMatch]) -> Iterator[Notice]:
    """Notices about cells that are converted, or not understood."""
    rows = sample.rows
    looked_at = None if sample.is_whole else len(rows)
    for name, match in columns.items():
        field = CAR_FIELDS[name]
        cells = dict.fromkeys(_cells(rows, match.index))
        if isinstance(field, Category) and not field.required:
            code, odd = "unknown-category", [cell for cell in cells if field.is_unknown(cell)]
        elif isinstance(field, Number) and field.litres:
            code, odd = "litres", [cell for cell in cells if field.is_litres(cell)]
        else:
            continue
        if odd:
            quoted = tuple(value[:NOTICE_MAX_CHARS] for value in odd[:NOTICE_MAX_VALUES])
            yield Notice(code=code, field=name, values=quoted, rows=looked_at)


def _cells(rows: Rows, index: int) -> Iterator[str]:
    return (row[index] for row in rows if index < len(row))
