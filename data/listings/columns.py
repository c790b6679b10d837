"""The columns of a listings file: of a known layout, or as a batch of the same file has them."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from data.listings import cells
from data.listings.column_checks import check_columns, check_prices, in_foreign_currency
from data.listings.files import ListingsError, RawTable
from data.listings.formats import DETECTED, NAME, ListingFormat, detect_format, find_listing_columns
from data.listings.table import LISTING_DATE, PRICE, PRICE_SUSPECT, SOURCE
from shared.domain.names import fold
from shared.domain.table import ColumnMatch, Dialect
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import ColumnValidator
from shared.fields.prices import DIRHAM, currency_of
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.columns.units import find_prices
from shared.tabular.rows.units import RowUnits, cells_by_field

_PRICE_REASONS = {
    "foreign-currency": mark("in another currency"),
    "unknown-unit": mark("in an unclear currency"),
    "unclear-amount": mark("with an amount in ryals, centimes or before tax"),
    "several-values": mark("with several prices"),
    "out-of-range": mark("with an impossible price"),
}
"""Why a price is not read, by the code of its cell."""
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
    """The columns of a layout that defines their meaning; units and currencies as in a batch."""
    indexes: dict[str, int] = {}
    for index, header in enumerate(raw.headers):
        if (name := layout.columns.get(fold(header))) is not None:
            indexes.setdefault(name, index)
    texts: Texts = {name: raw.column(index) for name, index in indexes.items()}
    names = texts.pop(NAME, None)
    check_columns(raw, texts, has_names=names is not None)
    raw = _with_price_column(raw, indexes[PRICE])
    _check_currency(raw, layout)
    values: Values = {
        name: cells.parse_months(column)
        if name == LISTING_DATE
        else _parsed(column, _reader(name, layout))
        for name, column in texts.items()
    }
    measured, price_reasons = _measured(raw, layout, indexes)
    used = {*indexes.values(), *(column.index for column in raw.dialect.unit_columns.values())}
    return ListingColumns(
        layout=layout.name,
        texts=texts,
        cells=values | measured,
        names=None if "model" in texts else names,
        unused=tuple(
            header
            for index, header in enumerate(raw.headers)
            if index not in used and header.strip()
        ),
        price_reasons=price_reasons,
    )


def _with_price_column(raw: RawTable, index: int) -> RawTable:
    """The table, whose prices are those of a column, even if another one looks more like prices."""
    dialect = raw.dialect
    if index == dialect.asking_index or (dialect.asking is None and dialect.currency is not None):
        return raw
    found = find_prices(raw.headers, (), raw.column, index)
    units = {name: unit for name, unit in dialect.units.items() if name != ASKING_PRICE}
    if found.unit is not None:
        units[ASKING_PRICE] = found.unit
    columns = {name: each for name, each in dialect.unit_columns.items() if name != ASKING_PRICE}
    if found.unit_column is not None:
        columns[ASKING_PRICE] = found.unit_column
    asking = None
    if found.column is not None:
        asking = ColumnMatch(index=index, confidence=1.0, basis="name")
    changed = dataclasses.replace(
        dialect, asking=asking, currency=found.currency, units=units, unit_columns=columns
    )
    return dataclasses.replace(raw, dialect=changed)


def _check_currency(raw: RawTable, layout: ListingFormat) -> None:
    """Raise `ListingsError` if the file states prices in another currency than its layout's."""
    dialect = raw.dialect
    if dialect.currency not in (None, layout.currency):
        raise in_foreign_currency(raw)
    if layout.currency != DIRHAM and dialect.unit_columns.get(ASKING_PRICE) is not None:
        raise ListingsError(
            _(
                "{name}: the prices of the layout {layout} are in {currency}, and a column "
                "states several currencies: remove the rows of the others"
            ).format(name=raw.name, layout=layout.name, currency=layout.currency)
        )


def _measured(
    raw: RawTable, layout: ListingFormat, indexes: Mapping[str, int]
) -> tuple[Values, dict[int, str]]:
    """Normal forms of the prices and of columns with units, and by row why a price is not read."""
    if layout.currency != DIRHAM:
        foreign = {
            row: _PRICE_REASONS["foreign-currency"]
            for row, cell in enumerate(raw.column(indexes[PRICE]))
            if currency_of(cell) not in (None, layout.currency)
        }
        return {}, foreign
    dialect = raw.dialect
    stated = {*dialect.units, *dialect.unit_columns}
    stated |= {name for chunk in raw.chunks for _, units in chunk.units for name in units}
    wanted = {name for name in stated if indexes.get(name) == dialect.column_indexes.get(name, -1)}
    _, values, price_codes = _validated(raw, wanted | {ASKING_PRICE})
    values[PRICE] = values.pop(ASKING_PRICE)
    return values, _reasons(price_codes)


def _reasons(price_codes: Mapping[int, str]) -> dict[int, str]:
    return {
        row: _PRICE_REASONS[code] for row, code in price_codes.items() if code in _PRICE_REASONS
    }


def _reader(name: str, layout: ListingFormat) -> Callable[[str], Any]:
    """What reads a cell of a column of a known layout."""
    if name == PRICE:  # in dirhams they are read as a batch reads them
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
    check_prices(raw)
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


def _validated(
    raw: RawTable, wanted: Collection[str] = (*CAR_FIELDS,)
) -> tuple[Texts, Values, dict[int, str]]:
    """Cells and normal forms by field, and the codes of prices that are not read, by row."""
    dialect = raw.dialect
    validator = ColumnValidator(dialect.decimal, dialect.units)
    texts: dict[str, list[str]] = {}
    values: Values = {}
    price_codes: dict[int, str] = {}
    first = 0
    for marked in raw.chunks:
        chunk = marked.without_marks(dialect)
        units = _of(RowUnits(dialect, chunk).by_field, wanted)
        found, _, notes = validator.validate(_of(cells_by_field(dialect, marked), wanted), units)
        for name, column in _of(cells_by_field(dialect, chunk), wanted).items():
            texts.setdefault(name, []).extend(column)
            values.setdefault(name, []).extend(found[name])
        price_codes |= {first + row: code for row, name, code in notes if name == ASKING_PRICE}
        first += len(chunk)
    return dict(texts), values, price_codes


def _of(columns: Mapping[str, Sequence[str]], wanted: Collection[str]) -> Texts:
    return {name: column for name, column in columns.items() if name in wanted}


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
