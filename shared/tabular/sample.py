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
from shared.fields.kinds import Category, Number
from shared.tabular.headers import (
    ASKING_PRICE,
    field_for_header,
    find_asking_column,
    find_column,
    format_header,
    match_header,
)

NOTICE_MAX_VALUES = 5
"""Maximum values that a notice quotes."""

NOTICE_MAX_CHARS = 40
"""Maximum characters of each quoted value."""

IGNORED_OPTIONS: Mapping[FileKind, Sequence[str]] = {
    FileKind.CSV: ("sheet",),
    FileKind.XLSX: ("encoding", "delimiter"),
    FileKind.PARQUET: ("encoding", "delimiter", "sheet"),
}
"""Options that do not apply to a kind of file."""

Rows = Sequence[Sequence[str]]
_COMMA_DECIMALS = re.compile(r"(?:^|\D)\d+,\d{1,2}(?:\D|$)")
_DOT_DECIMALS = re.compile(r"(?:^|\D)\d+\.\d{1,2}(?:\D|$)")


class Sample(NamedTuple):
    """The first rows of a table."""

    header: Sequence[str]
    rows: Rows
    is_whole: bool
    """Whether these are all rows of the table."""


def name_columns(cells: Sequence[str]) -> list[str]:
    """Header cells as names; a column without one is named by its position.

    A repeated unknown name gets a number. A repeated name of a field stays as it is: the caller has
    to say which column is meant.

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
        while (
            number > 1 and not _is_known_column(name) and (numbered in names or numbered in taken)
        ):
            numbered = f"{name} ({number})"
            number += 1
        names.append(numbered)
    return names


def _is_known_column(name: str) -> bool:
    return field_for_header(name) is not None or find_asking_column([name], (), ()) is not None


def complete_dialect(sample: Sample, options: BatchOptions, known: Dialect) -> Dialect:
    """Add columns, decimal sign and notices to a dialect.

    Args:
        sample: header and first rows.
        options: of the caller, which take precedence.
        known: the dialect without them.

    Raises:
        UnreadableUpload: required columns are missing or ambiguous.
    """
    if options.expected_header:
        return dataclasses.replace(known, header=tuple(name_columns(sample.header)))
    columns = match_header(sample.header, options.columns, sample.rows)
    asking = columns.pop(ASKING_PRICE, None)
    if ASKING_PRICE not in dict(options.columns):
        taken = {match.index for match in columns.values()}
        asking = find_asking_column(sample.header, taken, sample.rows)
    _check_key_column(sample.header, options.key_column)
    numbers = columns if asking is None else {**columns, ASKING_PRICE: asking}
    decimal = find_decimal(sample.rows, numbers, options.decimal)
    notices = (*_option_notices(known.kind, options), *_cell_notices(sample, columns))
    return dataclasses.replace(
        known,
        header=tuple(sample.header),
        columns=columns,
        asking=asking,
        decimal=decimal.value,
        findings={**known.findings, "decimal": decimal},
        notices=(*known.notices, *notices),
    )


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
                votes[","] += _COMMA_DECIMALS.search(cell) is not None
                votes["."] += _DOT_DECIMALS.search(cell) is not None
    if not votes.total():
        return Detection(value="auto", confidence=0.5, basis="no-decimals-seen")
    sign, count = votes.most_common(1)[0]
    if count < votes.total():
        return Detection(value="auto", confidence=0.5, basis="both-signs-seen")
    return Detection(value=sign, confidence=round(1 - 1 / (2 + count), 2), basis="decimals-seen")


def title_notices(titles: Rows) -> tuple[Notice, ...]:
    """The notice that rows above the header are ignored; it quotes the first cell of each."""
    if not titles:
        return ()
    values = tuple(
        next(filter(None, row), "")[:NOTICE_MAX_CHARS] for row in titles[:NOTICE_MAX_VALUES]
    )
    return (Notice(code="titles-left-out", values=values),)


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
