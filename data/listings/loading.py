"""Loads listings files of any layout into the canonical table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from marshmallow import ValidationError

from data.hedonic.model import split_vehicle
from data.listings.cells import money, parse_month
from data.listings.files import ListingsError, RawTable, read_table
from data.listings.formats import NAME, PRICE_NAMES, ListingFormat, detect_format
from data.listings.report import MAX_SUSPECT_ROWS, LoadReport
from data.listings.suspicion import suspicious_prices
from data.listings.table import LISTING_DATE, PRICE, PRICE_SUSPECT, SOURCE, listing_table
from data.market.reference import ReferenceMarket
from shared.domain.names import fold
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.vehicles.names import canonical_brand

_REQUIRED_COLUMNS = ("company", "model", "year")
_MIN_PRICE_MAD = 1_000
_MAX_PRICE_MAD = 100_000_000
_MAX_HEADERS_SHOWN = 20
_MIN_DUPLICATE_COLUMNS = 8
"""Rows with equal text in at least this many columns are duplicates of one listing. With fewer
columns two different cars can have equal rows."""
_TWO_WORD_BRANDS = frozenset(
    {"land rover", "alfa romeo", "aston martin", "mercedes benz", "rolls royce", "ds automobiles"}
)
_MAX_MODEL_WORDS = 3

Columns = Mapping[str, Sequence[str]]
Values = Mapping[str, Sequence[Any]]


def load_listings(path: Path) -> tuple[pd.DataFrame, LoadReport]:
    """Load a listings file (csv or csv.gz) of any layout.

    Raises:
        ListingsError: the file is missing, is not a listings table, or has no usable row.
    """
    raw = read_table(path)
    layout = detect_format(raw.headers)
    columns, unused = _columns(raw, layout)
    _check_columns(raw, columns)
    values = {name: _parse_column(name, cells, layout) for name, cells in columns.items()}
    values["company"] = [name and canonical_brand(name) for name in values["company"]]
    values.setdefault(SOURCE, [layout.name] * len(raw.rows))
    kept, dropped = _select_usable(values, _find_duplicates(columns))
    if not kept:
        raise ListingsError(
            f"{raw.name}: none of its {len(raw.rows)} rows can be used"
            f" ({', '.join(f'{count} {reason}' for reason, count in dropped.items())})"
        )
    table = listing_table({name: [cells[i] for i in kept] for name, cells in values.items()})
    if PRICE_SUSPECT not in columns:
        table[PRICE_SUSPECT] = suspicious_prices(table)
    suspects = np.flatnonzero(table[PRICE_SUSPECT].to_numpy())
    report = LoadReport(
        file=raw.name,
        layout=layout.name,
        encoding=raw.encoding,
        digest=raw.digest,
        rows_read=len(raw.rows),
        rows_kept=len(kept),
        dropped=dropped,
        blanked=_count_unreadable(columns, values),
        suspects=len(suspects),
        suspect_rows=tuple(raw.numbers[kept[i]] for i in suspects[:MAX_SUSPECT_ROWS]),
        unused_columns=unused,
        months=_months(table),
    )
    return table, report


def _columns(
    raw: RawTable, layout: ListingFormat
) -> tuple[dict[str, Sequence[str]], tuple[str, ...]]:
    """Raw cells by canonical column, and the headers that are not used."""
    columns: dict[str, Sequence[str]] = {}
    unused = []
    for index, header in enumerate(raw.headers):
        name = layout.columns.get(fold(header))
        if name is None or name in columns:
            unused.append(header)
        else:
            columns[name] = [row[index] for row in raw.rows]
    if NAME in columns:
        parts = zip(*map(split_name, columns.pop(NAME)), strict=True)
        if "model" not in columns:
            for name, cells in zip(("company", "model", "edition"), parts, strict=True):
                columns.setdefault(name, cells)
    return columns, tuple(header for header in unused if header.strip())


def _check_columns(raw: RawTable, columns: Columns) -> None:
    """Raise `ListingsError` if a required column is missing."""
    missing = [name for name in (PRICE, *_REQUIRED_COLUMNS) if name not in columns]
    if not missing:
        return
    found = ", ".join(raw.headers[:_MAX_HEADERS_SHOWN])
    hint = f" (a price is called {', '.join(PRICE_NAMES)})" if PRICE in missing else ""
    raise ListingsError(f"{raw.name}: no column for {', '.join(missing)}; found: {found}{hint}")


def _parse_column(name: str, cells: Sequence[str], layout: ListingFormat) -> list[Any]:
    """Cells in normal form, None where blank or unreadable; each distinct text is parsed once."""
    cleaner = layout.cleaners.get(name)

    def read(cell: str) -> Any:
        if name == PRICE:
            price = money(cell)
            return None if price is None else price * layout.mad_per_unit
        if name == LISTING_DATE:
            return parse_month(cell)
        if name == PRICE_SUSPECT:
            return cell.strip().casefold() in {"1", "true", "yes", "oui"}
        if name == SOURCE:
            return cell or None
        text = cleaner(cell) if cleaner else cell
        return None if text is None or is_blank(text) else _deserialized(name, text)

    known = {cell: read(cell) for cell in dict.fromkeys(cells)}
    return [known[cell] for cell in cells]


def _deserialized(name: str, text: str) -> Any:
    try:
        value = CAR_FIELDS[name].deserialize(text)
    except ValidationError:
        return None
    if name == "model" and value is not None:
        # The committed statistics are by names without signs ("206+" is the 206).
        return fold(text) or value
    if name != "company" or value is None:
        return value
    # Without a letter, the cells of this row are shifted by a column: no brand is a number.
    return None if value.isdigit() else value


def _find_duplicates(columns: Columns) -> list[bool]:
    """Whether each row has the same text as an earlier one."""
    rows = list(zip(*columns.values(), strict=True))
    if len(columns) < _MIN_DUPLICATE_COLUMNS:
        return [False] * len(rows)
    first_of: dict[tuple[str, ...], int] = {}
    return [first_of.setdefault(row, index) != index for index, row in enumerate(rows)]


def _select_usable(values: Values, repeats: Sequence[bool]) -> tuple[list[int], dict[str, int]]:
    """Indices of the usable rows, and counts of the others by reason."""
    reasons: Counter[str] = Counter()
    kept = []
    for index, price in enumerate(values[PRICE]):
        missing = next((name for name in _REQUIRED_COLUMNS if values[name][index] is None), None)
        if price is None or not np.isfinite(price):
            reasons["without a price"] += 1
        elif not _MIN_PRICE_MAD <= price <= _MAX_PRICE_MAD:
            reasons["with an impossible price"] += 1
        elif missing:
            reasons[f"without a valid {missing}"] += 1
        elif repeats[index]:
            reasons["repeated"] += 1
        else:
            kept.append(index)
    return kept, dict(reasons)


def _count_unreadable(columns: Columns, values: Values) -> dict[str, int]:
    """Number of unreadable cells of optional fields, by field."""
    found = {}
    for name in columns:
        if name not in CAR_FIELDS or name in _REQUIRED_COLUMNS:
            continue
        pairs = zip(columns[name], values[name], strict=True)
        lost = sum(value is None and not is_blank(cell) for cell, value in pairs)
        if lost:
            found[name] = lost
    return found


def _months(table: pd.DataFrame) -> tuple[str, str] | None:
    dates = table[LISTING_DATE].dropna()
    return (str(dates.min()), str(dates.max())) if len(dates) else None


def split_name(name: str) -> tuple[str, str, str]:
    """Split a listing's full name into company, model and edition.

    Models of the reference market may have several words; for others the first word is the model.

    >>> split_name("Maruti Swift Dzire VDI"), split_name("Mercedes-Benz Classe C 220 d")
    (('maruti', 'swift', 'dzire vdi'), ('mercedes benz', 'classe c', '220 d'))
    """
    words = fold(name).split(" ")
    size = 2 if " ".join(words[:2]) in _TWO_WORD_BRANDS else 1
    company, rest = " ".join(words[:size]), words[size:]
    length = _model_length(canonical_brand(company), rest)
    return company, " ".join(rest[:length]), " ".join(rest[length:])


def _model_length(company: str, words: list[str]) -> int:
    """Number of words that name the model."""
    known = _known_vehicles()
    for length in range(min(_MAX_MODEL_WORDS, len(words)), 1, -1):
        if (company, " ".join(words[:length])) in known:
            return length
    return 1


@cache
def _known_vehicles() -> frozenset[tuple[str, str]]:
    """(company, model) pairs of the reference market."""
    return frozenset(map(split_vehicle, ReferenceMarket.load().hedonic.vehicle_years))
