"""Loads listings files of any layout into the canonical table."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.listings.columns import ListingColumns, read_columns
from data.listings.files import ListingsError, NoTableError, RawTable, read_table
from data.listings.folders import FoundFiles, find_files
from data.listings.formats import FORMATS
from data.listings.plausibility import check_prices, is_in_future, without_impossible_months
from data.listings.report import MAX_SUSPECT_ROWS, LoadReport
from data.listings.suspicion import suspicious_prices
from data.listings.table import (
    LISTING_COLUMNS,
    LISTING_DATE,
    PRICE,
    PRICE_SUSPECT,
    SOURCE,
    current_month,
    listing_table,
)
from data.listings.vehicle_names import add_vehicle_names
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.i18n.command import ngettext

_REQUIRED_COLUMNS = ("company", "model", "year")
_MIN_PRICE_MAD = 1_000
_MAX_PRICE_MAD = 100_000_000
_MIN_DUPLICATE_COLUMNS = 8
"""Rows with equal text in at least this many columns are duplicates of one listing. With fewer
columns two different cars can have equal rows."""
_REPEATED = mark("repeated")
_NAMED_FILES = 3
"""Most files whose names a report on all of them has."""
_IMPOSSIBLE = mark("with an impossible price")
_EXPECTED_PRICES = mark("an asking price is {lowest} to {highest} MAD")
_UNREADABLE_ROWS = {
    "repeated-header": mark("that repeat the headers"),
    "units-row": mark("that state units"),
    "after-other-header": mark("below a header with other columns"),
    "wrong-cell-count": mark("with a wrong number of cells"),
    "open-quote": mark("with an unclosed quote"),
    "unreadable-text": mark("with unreadable characters"),
    "cell-too-long": mark("with a cell that is too long"),
}
"""Why a row cannot be read, by the code of its fault."""
_OTHER_FAULT = mark("that cannot be read")
_NO_TABLE = mark("no table of cars")
_NO_PRICE = mark("without a price")
_FUTURE = mark("listed in the future")
_MISSING = {
    "company": mark("without a valid company"),
    "model": mark("without a valid model"),
    "year": mark("without a valid year"),
}
"""Why a row cannot be used, by the column that it lacks. In JSON all reasons are English."""

Columns = Mapping[str, Sequence[str]]
Values = Mapping[str, Sequence[Any]]


def load_listings(path: Path) -> tuple[pd.DataFrame, LoadReport]:
    """Load a listings file of any layout, and of any kind that a batch may be.

    Raises:
        ListingsError: the file is missing, is not a listings table, has no usable row, or its
            prices are not in dirhams.
    """
    raw = read_table(path)
    columns = read_columns(raw)
    layout = next(each for each in FORMATS if each.name == columns.layout)
    add_vehicle_names(columns, is_catalogued=layout.is_catalogued)
    values = columns.cells
    numbers = raw.numbers
    if LISTING_DATE in values:
        values[LISTING_DATE] = without_impossible_months(values[LISTING_DATE], values["year"])
    values.setdefault(SOURCE, [layout.name] * len(numbers))
    kept, dropped = _select_usable(columns, raw.faults, _find_duplicates(columns))
    if not kept:
        raise ListingsError(
            _("{name}: none of its {number} rows can be used ({reasons})").format(
                name=raw.name, number=len(numbers), reasons=_counted(dropped)
            )
            + (_expected_prices() if _IMPOSSIBLE in dropped else "")
        )
    table = listing_table({name: [cells[i] for i in kept] for name, cells in values.items()})
    doubts: tuple[str, ...] = ()
    # A file may mark some prices and know nothing of the others.
    table[PRICE_SUSPECT] |= suspicious_prices(table)
    if layout.is_catalogued:
        is_far, doubts = check_prices(raw.name, table)
        table[PRICE_SUSPECT] |= is_far
    report = _report(raw, columns, table, kept, dropped)
    return table, dataclasses.replace(report, doubts=doubts)


def load_listings_of(paths: Sequence[Path]) -> tuple[pd.DataFrame, LoadReport]:
    """Load several files, and all files of folders, into one table.

    A listing that several files have counts once, and files of equal content are read once. The
    report names what is not read (`data.listings.folders`).

    Args:
        paths: at least one; the order of files in a folder is that of their names.

    Raises:
        ListingsError: as `load_listings`; or a folder has no files of listings, or a table of a
            kind that cannot be read.
    """
    found = find_files(paths)
    loaded, not_read = _load_each(found)
    reports = [report for _, report in loaded]
    if len(loaded) == 1:
        return loaded[0][0], dataclasses.replace(reports[0], not_read=not_read)
    joined = pd.concat([table for table, _ in loaded], ignore_index=True)
    repeated = _repeated_rows(joined, [len(table) for table, _ in loaded])
    table = joined[~repeated].reset_index(drop=True)
    dropped: Counter[str] = Counter()
    blanked: Counter[str] = Counter()
    for report in reports:
        dropped.update(report.dropped)
        blanked.update(report.blanked)
    if repeated.any():
        dropped[_REPEATED] += int(repeated.sum())
    digests = " ".join(sorted(report.digest for report in reports))
    return table, LoadReport(
        file=_joined_names(reports),
        layout=", ".join(dict.fromkeys(report.layout for report in reports)),
        encoding=", ".join(dict.fromkeys(report.encoding for report in reports)),
        digest=hashlib.sha256(digests.encode()).hexdigest(),
        rows_read=sum(report.rows_read for report in reports),
        rows_kept=len(table),
        dropped=dict(dropped),
        blanked=dict(blanked),
        suspects=int(table[PRICE_SUSPECT].sum()),
        suspect_rows=(),
        unused_columns=tuple(
            dict.fromkeys(name for report in reports for name in report.unused_columns)
        ),
        months=_months(table),
        files=tuple(reports),
        doubts=tuple(f"{report.file}: {doubt}" for report in reports for doubt in report.doubts),
        not_read=not_read,
    )


def _load_each(
    found: FoundFiles,
) -> tuple[list[tuple[pd.DataFrame, LoadReport]], tuple[str, ...]]:
    """Load files, each content once; also what was not read, and why."""
    loaded: list[tuple[pd.DataFrame, LoadReport]] = []
    not_read = list(found.not_read)
    name_of: dict[str, str] = {}
    for file in found.files:
        try:
            table, report = load_listings(file)
        except NoTableError as error:
            if file not in found.uncertain:
                raise
            not_read.append(f"{file.name} ({_(_NO_TABLE)})")
            last_error = error
            continue
        if report.digest in name_of:
            same = _("the same content as {name}").format(name=name_of[report.digest])
            not_read.append(f"{file.name} ({same})")
            continue
        name_of[report.digest] = file.name
        loaded.append((table, report))
    if not loaded:
        raise last_error
    return loaded, tuple(not_read)


def _joined_names(reports: Sequence[LoadReport]) -> str:
    names = [report.file for report in reports]
    several = ngettext("{number} file", "{number} files", len(names))
    return ", ".join(names) if len(names) <= _NAMED_FILES else several.format(number=len(names))


def _repeated_rows(table: pd.DataFrame, rows_of_files: Sequence[int]) -> "pd.Series[bool]":
    """Whether each listing has the same values as one of an earlier file.

    Within a file `load_listings` has decided: two cars can have equal rows of few columns. An equal
    row of another file is a repetition however few columns it has.

    Args:
        table: of all files, in their order.
        rows_of_files: number of rows of each.
    """
    compared = [name for name in LISTING_COLUMNS if name not in (SOURCE, PRICE_SUSPECT)]
    file_of = np.repeat(np.arange(len(rows_of_files)), rows_of_files)
    row_groups = table.groupby(compared, dropna=False, sort=False).ngroup()
    first_file = pd.Series(file_of, index=table.index).groupby(row_groups).transform("min")
    return first_file < file_of


def _report(
    raw: RawTable,
    columns: ListingColumns,
    table: pd.DataFrame,
    kept: Sequence[int],
    dropped: Mapping[str, int],
) -> LoadReport:
    suspects = np.flatnonzero(table[PRICE_SUSPECT].to_numpy())
    numbers = raw.numbers
    return LoadReport(
        file=raw.name,
        layout=columns.layout,
        encoding=raw.encoding,
        digest=raw.digest,
        rows_read=len(numbers),
        rows_kept=len(kept),
        dropped=dropped,
        blanked=_count_unreadable(columns.texts, columns.cells),
        suspects=len(suspects),
        suspect_rows=tuple(numbers[kept[i]] for i in suspects[:MAX_SUSPECT_ROWS]),
        unused_columns=columns.unused,
        months=_months(table),
    )


def _find_duplicates(columns: ListingColumns) -> list[bool]:
    """Whether each row has the same text as an earlier one.

    A title counts as the three columns of brand, model and edition.
    """
    texts = list(columns.texts.values())
    width = len(texts)
    if columns.names is not None:
        texts.append(columns.names)
        width += 3
    rows = list(zip(*texts, strict=True))
    if width < _MIN_DUPLICATE_COLUMNS:
        return [False] * len(rows)
    first_of: dict[tuple[str, ...], int] = {}
    return [first_of.setdefault(row, index) != index for index, row in enumerate(rows)]


def _select_usable(
    columns: ListingColumns, faults: Sequence[str | None], repeats: Sequence[bool]
) -> tuple[list[int], dict[str, int]]:
    """Indices of the usable rows, and counts of the others by reason."""
    reasons: Counter[str] = Counter()
    kept = []
    values = columns.cells
    months = values.get(LISTING_DATE)
    current = current_month()
    for index, price in enumerate(values[PRICE]):
        missing = next((name for name in _REQUIRED_COLUMNS if values[name][index] is None), None)
        fault = faults[index]
        if fault is not None:
            reasons[_UNREADABLE_ROWS.get(fault, _OTHER_FAULT)] += 1
        elif price is None or not np.isfinite(price):
            reasons[columns.price_reasons.get(index, _NO_PRICE)] += 1
        elif not _MIN_PRICE_MAD <= price <= _MAX_PRICE_MAD:
            reasons[_IMPOSSIBLE] += 1
        elif missing:
            reasons[_MISSING[missing]] += 1
        elif repeats[index]:
            reasons[_REPEATED] += 1
        elif months is not None and is_in_future(months[index], current):
            reasons[_FUTURE] += 1
        else:
            kept.append(index)
    return kept, dict(reasons)


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {_(reason)}" for reason, count in reasons.items())


def _expected_prices() -> str:
    """What prices are possible, after other text."""
    lowest, highest = f"{_MIN_PRICE_MAD:,}", f"{_MAX_PRICE_MAD:,}"
    return f"; {_(_EXPECTED_PRICES).format(lowest=lowest, highest=highest)}"


def _count_unreadable(columns: Columns, values: Values) -> dict[str, int]:
    """Number of unreadable cells of optional fields, by field."""
    found = {}
    for name in columns:
        is_optional = name in CAR_FIELDS or name == LISTING_DATE
        if not is_optional or name in _REQUIRED_COLUMNS:
            continue
        pairs = zip(columns[name], values[name], strict=True)
        lost = sum(value is None and not is_blank(cell) for cell, value in pairs)
        if lost:
            found[name] = lost
    return found


def _months(table: pd.DataFrame) -> tuple[str, str] | None:
    dates = table[LISTING_DATE].dropna()
    return (str(dates.min()), str(dates.max())) if len(dates) else None
