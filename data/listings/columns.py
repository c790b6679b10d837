"""The columns of a listings file: of a known layout, or as a batch of the same file has them."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from data.listings import cells
from data.listings.files import PRICE_NAMES, ListingsError, RawTable
from data.listings.formats import DETECTED, NAME, ListingFormat, detect_format, find_listing_columns
from data.listings.table import LISTING_DATE, PRICE, PRICE_SUSPECT, SOURCE
from shared.domain.names import fold
from shared.domain.table import Dialect
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.rows.units import RowUnits, cells_by_field

_PRICE_REASONS = {
    "foreign-currency": "in another currency",
    "unknown-unit": "in an unclear currency",
    "unclear-amount": "with an amount in ryals, centimes or before tax",
    "several-values": "with several prices",
    "out-of-range": "with an impossible price",
}
"""Why a price is not read, by the code of its cell."""
_MAX_HEADERS_SHOWN = 20
_TRUE = frozenset({"1", "true", "yes", "oui"})

Texts = dict[str, Sequence[str]]
Values = dict[str, list[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ListingColumns:
    """The columns of a listings file, each with a cell for every row.

    Args:
        layout: name of the layout.
        texts: cells by canonical column, as written.
        cells: normal forms by canonical column, None where blank or unreadable; dates are months.
        names: titles with brand, model and edition in one text; None if there are none.
        unused: headers of the columns that are not read.
        price_reasons: by row, why its price is not read, if that is known.
    """

    layout: str
    texts: Texts
    cells: Values
    names: Sequence[str] | None
    unused: tuple[str, ...]
    price_reasons: Mapping[int, str]


def read_columns(raw: RawTable) -> ListingColumns:
    """Read the columns of a file.

    Raises:
        ListingsError: a column is missing, or the prices are not in dirhams.
    """
    layout = detect_format(raw.headers)
    return _detected_columns(raw) if layout is DETECTED else _known_columns(raw, layout)


def _known_columns(raw: RawTable, layout: ListingFormat) -> ListingColumns:
    """The columns of a layout that defines their meaning."""
    texts: Texts = {}
    unused = []
    currency = raw.dialect.unit_columns.get(ASKING_PRICE)
    for index, header in enumerate(raw.headers):
        name = layout.columns.get(fold(header))
        if currency is not None and currency.index == index:
            continue
        if name is None or name in texts:
            unused.append(header)
        else:
            texts[name] = raw.column(index)
    names = texts.pop(NAME, None)
    _check_columns(raw, texts, has_names=names is not None)
    values: Values = {
        name: cells.parse_months(column)
        if name == LISTING_DATE
        else _parsed(column, _reader(name, layout))
        for name, column in texts.items()
    }
    reasons = _foreign_prices(raw, values[PRICE]) if layout.mad_per_unit == 1.0 else {}
    return ListingColumns(
        layout=layout.name,
        texts=texts,
        cells=values,
        names=None if "model" in texts else names,
        unused=tuple(header for header in unused if header.strip()),
        price_reasons=reasons,
    )


def _foreign_prices(raw: RawTable, prices: list[Any]) -> dict[int, str]:
    """Blank the prices that are not read as dirhams, and say why, by row.

    A column or a cell may state another currency, in a layout with a fixed name of the price too.

    Raises:
        ListingsError: all prices are in another currency.
    """
    dialect = raw.dialect
    has_units = ASKING_PRICE in dialect.unit_columns
    if dialect.currency is not None or (dialect.asking is None and has_units):
        _check_prices(raw)
    if dialect.asking is None or not (has_units or None in prices):
        return {}
    _, _, codes = _validated(raw)
    reasons = _reasons(codes)
    for row in reasons:
        prices[row] = None
    return reasons


def _reasons(price_codes: Mapping[int, str]) -> dict[int, str]:
    """Why prices are not read, by row, from the codes of their notes."""
    known = _PRICE_REASONS
    return {row: known[code] for row, code in price_codes.items() if code in known}


def _reader(name: str, layout: ListingFormat) -> Callable[[str], Any]:
    """What reads a cell of a column of a known layout."""
    if name == PRICE:
        return lambda cell: _times(cells.money(cell), layout.mad_per_unit)
    if name == PRICE_SUSPECT:
        return _is_true
    if name == SOURCE:
        return lambda cell: cell or None
    cleaner = layout.cleaners.get(name)
    return lambda cell: _read_field(name, cleaner(cell) if cleaner else cell)


def _parsed(column: Sequence[str], read: Callable[[str], Any]) -> list[Any]:
    """Normal forms; each distinct text is parsed once."""
    known = {cell: read(cell) for cell in dict.fromkeys(column)}
    return [known[cell] for cell in column]


def _times(amount: float | None, factor: float) -> float | None:
    return None if amount is None else amount * factor


def _is_true(cell: str) -> bool:
    return cell.strip().casefold() in _TRUE


def _read_field(name: str, text: str | None) -> Any:
    if text is None or is_blank(text):
        return None
    try:
        return CAR_FIELDS[name].deserialize(text)
    except ValidationError:
        return None


def _detected_columns(raw: RawTable) -> ListingColumns:
    """The columns as a batch of the same file has them, and those of listings alone."""
    dialect = raw.dialect
    own = find_listing_columns(raw.headers, dialect)
    _check_prices(raw)
    texts, values, price_codes = _validated(raw)
    texts[PRICE] = texts.pop(ASKING_PRICE)
    values[PRICE] = values.pop(ASKING_PRICE)
    for name, index in own.items():
        texts[name] = raw.column(index)
    values |= _own_values({name: texts[name] for name in own})
    _read_leniently(texts, values, dialect)
    is_title = dialect.columns["model"].basis == "title"
    names = texts.pop("model") if is_title else None
    used = {*dialect.column_indexes.values(), dialect.asking_index, *own.values()}
    used |= {column.index for column in dialect.unit_columns.values()}
    used |= {column.index for column in dialect.other_columns.values()}
    return ListingColumns(
        layout=DETECTED.name,
        texts=texts,
        cells=values,
        names=names,
        unused=tuple(
            header
            for index, header in enumerate(raw.headers)
            if index not in used and header.strip()
        ),
        price_reasons=_reasons(price_codes),
    )


def _own_values(texts: Texts) -> Values:
    """Normal forms of the columns that only listings have, those that the file has."""
    values: Values = {}
    if LISTING_DATE in texts:
        values[LISTING_DATE] = cells.parse_months(texts[LISTING_DATE])
    if SOURCE in texts:
        values[SOURCE] = [cell or None for cell in texts[SOURCE]]
    if "city" in texts:
        values["city"] = _parsed(texts["city"], lambda cell: _read_field("city", cell))
    if PRICE_SUSPECT in texts:
        values[PRICE_SUSPECT] = list(map(_is_true, texts[PRICE_SUSPECT]))
    return values


def _validated(raw: RawTable) -> tuple[Texts, Values, dict[int, str]]:
    """Cells and normal forms by field, and the codes of prices that are not read, by row."""
    dialect = raw.dialect
    validator = ColumnValidator(dialect.decimal, dialect.units)
    texts: dict[str, list[str]] = {}
    values: Values = {}
    price_codes: dict[int, str] = {}
    first = 0
    for marked in raw.chunks:
        chunk = marked.without_marks(dialect)
        units = RowUnits(dialect, chunk).by_field
        found, _, notes = validator.validate(cells_by_field(dialect, marked), units)
        for name, column in cells_by_field(dialect, chunk).items():
            texts.setdefault(name, []).extend(column)
            values.setdefault(name, []).extend(found[name])
        price_codes |= {first + row: code for row, name, code in notes if name == ASKING_PRICE}
        first += len(chunk)
    return dict(texts), values, price_codes


def _read_leniently(texts: Texts, values: Values, dialect: Dialect) -> None:
    """Read cells that a batch ignores and a listing may have: "Plus de 48 CV", "6 CV (fiscaux)".

    Only of fields without a unit of their own in this file.
    """
    for name, cleaner in DETECTED.cleaners.items():
        has_units = name in dialect.units or name in dialect.unit_columns
        if name not in values or has_units:
            continue
        known: dict[str, Any] = {}
        column = values[name]
        for row, cell in enumerate(texts[name]):
            if column[row] is None and not is_blank(cell):
                if cell not in known:
                    known[cell] = _read_field(name, cleaner(cell))
                column[row] = known[cell]


def _check_columns(raw: RawTable, texts: Texts, *, has_names: bool) -> None:
    """Raise `ListingsError` if a required column is missing."""
    needed = [PRICE, "year"] if has_names else [PRICE, "company", "model", "year"]
    missing = [name for name in needed if name not in texts]
    if missing:
        raise _missing(raw, missing)


def _missing(raw: RawTable, names: Sequence[str]) -> ListingsError:
    found = ", ".join(raw.headers[:_MAX_HEADERS_SHOWN])
    if not raw.dialect.has_header:
        return ListingsError(
            f"{raw.name}: the file has no header row: write the names of its columns above the"
            " first car"
        )
    hint = f" (a price is called {', '.join(PRICE_NAMES)})" if PRICE in names else ""
    return ListingsError(f"{raw.name}: no column for {', '.join(names)}; found: {found}{hint}")


def _check_prices(raw: RawTable) -> None:
    """Raise `ListingsError` unless there is a column of prices in dirhams."""
    dialect = raw.dialect
    if dialect.asking is not None:
        return
    if dialect.currency is not None:
        raise ListingsError(
            f"{raw.name}: the prices are in {dialect.currency}, and a model quotes dirhams:"
            " convert the column, each price at the rate of its month, and call it price_mad"
        )
    notices = Counter({notice.code: 1 for notice in dialect.notices})
    if notices["price-scale"]:
        raise ListingsError(
            f"{raw.name}: the prices count in thousands: write them in dirhams, in a column"
            " price_mad"
        )
    if {"price_mad", "low_mad", "high_mad"}.issubset(raw.headers):
        raise ListingsError(
            f"{raw.name}: price_mad is this service's own estimate here, beside low_mad and"
            " high_mad: a model is trained on asking prices, in a column such as prix"
        )
    raise _missing(raw, [PRICE])
