"""Finds the columns that state the units and currencies of others, and that of asking prices."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from shared.domain.batch import RESULT_COLUMNS, VERDICT_COLUMNS
from shared.domain.table import Notice, UnitColumn
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.header_names import CURRENCY_WORDS, KW_WORDS
from shared.fields.kinds.number import Number
from shared.fields.prices import DIRHAM, find_currency
from shared.fields.units import FIELD_UNITS, THOUSAND_KM, UNSTATED, convert, find_unit, own_unit
from shared.tabular.cell_evidence import (
    MIN_SHARE,
    Column,
    are_low_for_age,
    have_letters,
    is_odometer,
    may_count_thousands,
    states_numbers,
    unit_share,
)
from shared.tabular.column_names import (
    ASKING_PRICE,
    CURRENCY_KEYS,
    MILEAGE_KEYS,
    POWER_KEYS,
    header_key,
    is_mileage,
    key_of_measured,
    read_name,
    split_words,
    unit_among_words,
)
from shared.tabular.columns.missing_columns import shorten

_OURS = frozenset({*RESULT_COLUMNS, *VERDICT_COLUMNS})
"""Columns of a result that is uploaded again: its estimates are no asking prices."""

_OURS_MIN = frozenset({"price_mad", "low_mad", "high_mad"})
"""A file with all of these is a result."""

_THOUSANDS = re.compile(
    r"\b(?:k ?(?:dhs?|mad|eur|usd|\W)|k$|milliers?|mille|thousands?|x ?1 ?000|tsd)", re.IGNORECASE
)
_ALTERNATIVES = re.compile(
    r"(?=(?<![^\s/|()\[\]])([^\s/|()\[\]]+)\s*(?:[/|]|\s(?:ou|or|oder)\s)\s*([^\s/|()\[\]]+))",
    re.IGNORECASE,
)
"""Two words of a name of which one holds, as in "km/miles" or "(MAD ou EUR)"."""
_MIN_RATIO = 1.05
"""Ratio from which two units are different ones: ch and hp are about the same."""
UNIT_SAMPLE = 100.0
"""A number that any unit may have."""
BARE_UNITS = ("km_driven", "max_power_bhp")
"""Fields whose units a column may state under a name that does not say so."""

ALMOST_ALL = 0.99
DISTANCE_KEYS = MILEAGE_KEYS | {"distance", "odometer", "odo", "kilometrage", "compteur"}
"""Words for the odometer in the names of columns with its unit."""

_PLAIN_NAMES = frozenset(map(header_key, (ASKING_PRICE, *CAR_FIELDS[ASKING_PRICE].names)))
"""Names that are preferred to others: "price" rather than "amount"."""


class PriceColumn(NamedTuple):
    """The column of asking prices."""

    column: int | None = None
    """None if no column is one, or none can be compared with our prices."""
    basis: str = "alias"
    currency: str | None = None
    """The foreign currency of the prices."""
    notices: tuple[Notice, ...] = ()
    unit_column: UnitColumn | None = None
    """The column that states the currency of each price."""
    unit: str | None = None
    """`UNSTATED` if a price without a currency may be in dirhams or not."""


def find_prices(
    header: Sequence[str],
    taken: Collection[int],
    cells_of: Callable[[int], Column],
    given: int | None,
) -> PriceColumn:
    """The column of asking prices in dirhams.

    Args:
        header: the names of the file's columns.
        taken: indexes of the columns that are fields of the car.
        cells_of: the first cells of a column.
        given: the index of the column that the caller's options name.
    """
    if given is not None:
        return _read_column(header, given, cells_of, "given")
    found = price_columns(header, taken)
    read = [_read_column(header, index, cells_of, price_basis(header[index])) for index in found]
    usable = next((each for each in read if each.column is not None), None)
    if usable is not None:
        return usable
    return read[0] if read else PriceColumn()


def price_columns(header: Sequence[str], taken: Collection[int]) -> list[int]:
    """Indexes of the columns whose names mean an asking price, the likeliest first.

    Args:
        header: the names of the file's columns.
        taken: indexes of the columns that are fields of the car.
    """
    ours = _OURS if _OURS_MIN.issubset(header) else frozenset()
    found = [
        index
        for index, name in enumerate(header)
        if index not in taken and name not in ours and _is_price(name)
    ]
    return sorted(found, key=lambda index: header_key(header[index]) not in _PLAIN_NAMES)


def _is_price(name: str) -> bool:
    found = read_name(name)
    return found is not None and found.field == ASKING_PRICE


def price_basis(name: str) -> str:
    """How a column is known to hold asking prices, by its name."""
    return "name" if name == ASKING_PRICE else "alias"


def _read_column(
    header: Sequence[str], index: int, cells_of: Callable[[int], Column], basis: str
) -> PriceColumn:
    """What a column of prices says of its currency and scale."""
    name, cells = header[index], cells_of(index)
    stated = find_currency(split_words(name))
    if stated not in (None, DIRHAM):
        return _foreign(name, str(stated))
    if _THOUSANDS.search(name):
        return PriceColumn(notices=(Notice(code="price-scale", values=(shorten(name),)),))
    beside = _currency_column(header, index, cells_of)
    if beside is None:
        return _read_cells(name, index, basis, cells, stated)
    named = [find_currency(cell) for cell in cells_of(beside)]
    foreign = [currency for currency in named if currency not in (None, DIRHAM)]
    found = unit_column(ASKING_PRICE, beside, stated, cells_of)
    if found.usual not in (None, DIRHAM):
        return _foreign(name, str(found.usual))
    # Where the name states dirhams, so do the blanks beside it.
    is_few = stated == DIRHAM and len(foreign) <= MIN_SHARE * len(named)
    if foreign and not is_few and DIRHAM not in (*named, *map(find_currency, cells)):
        return _foreign(name, min(map(str, foreign)))
    notices = () if found.usual else (units_by_row(header, ASKING_PRICE, found),)
    return PriceColumn(index, basis, None, notices, found)


def in_currency_of_titles(
    prices: PriceColumn,
    header: Sequence[str],
    cells_of: Callable[[int], Column],
    titles: Sequence[str],
) -> PriceColumn:
    """A column of prices in the currency that the rows above the header state, if it states none.

    Args:
        prices: the column.
        header: the names of the file's columns.
        cells_of: the first cells of a column.
        titles: texts above the header that may be currencies.
    """
    index = prices.column
    if index is None or prices.unit_column is not None:
        return prices
    own = (split_words(header[index]), *cells_of(index))
    words = (find_currency(text) for text in titles if " " not in text)
    foreign = next((code for code in words if code not in (None, DIRHAM)), None)
    if foreign is None or any(find_currency(text) == DIRHAM for text in own):
        return prices
    return _foreign(header[index], foreign)


def _foreign(name: str, currency: str) -> PriceColumn:
    notice = Notice(code="foreign-currency", values=(shorten(name), currency))
    return PriceColumn(currency=currency, notices=(notice,))


def _read_cells(
    name: str, index: int, basis: str, cells: Column, stated: str | None
) -> PriceColumn:
    """What the cells of a column of prices say, beside which no column states a currency."""
    if DIRHAM in (either := alternatives(name, find_currency)):
        notice = Notice(code="unclear-unit", field=ASKING_PRICE, values=either)
        return PriceColumn(index, basis, notices=(notice,), unit=UNSTATED)
    filled = [find_currency(cell) for cell in cells if not is_blank(cell)]
    named = [currency for currency in filled if currency is not None]
    most = max(sorted(set(named)), key=named.count, default=None)
    if stated is not None or set(named) <= {DIRHAM}:
        return PriceColumn(index, basis)
    if DIRHAM in named:
        # Where most prices state a currency, as often a foreign one, a bare one may be either.
        is_usually_stated = len(named) > MIN_SHARE * len(filled)
        is_unclear = is_usually_stated and len(named) >= 2 * named.count(DIRHAM)
        return PriceColumn(index, basis, unit=UNSTATED if is_unclear else None)
    is_foreign = named.count(str(most)) > MIN_SHARE * len(filled)
    return _foreign(name, str(most)) if is_foreign else PriceColumn(index, basis)


def _currency_column(
    header: Sequence[str], price: int, cells_of: Callable[[int], Column]
) -> int | None:
    """Index of the column with the currencies of a column of prices; the one named after it."""
    words = set(header_key(header[price]).split())
    plain = []
    for index, name in enumerate(header):
        key = key_of_measured(name, CURRENCY_WORDS)
        if header_key(name) in CURRENCY_KEYS and not key:
            key = ""
        if key is None and unit_share(ASKING_PRICE, cells_of(index)) > MIN_SHARE:
            key = key_of_measured(name)
            if not key and index != price + 1:
                key = None
        if key is None or index == price or states_numbers(cells_of(index)):
            continue
        if key and words.issuperset(key.split()):
            return index
        if not key or _is_price(key):
            plain.append(index)
    return next(iter(plain), None)


def measured_field(
    header: Sequence[str], index: int, cells: Column, columns: Mapping[str, int]
) -> str | None:
    """The field whose units a column states, by its name, or else by its cells and its place.

    Args:
        header: the names of the file's columns.
        index: of the column.
        cells: its first cells.
        columns: index of the column of each field.
    """
    key = key_of_measured(header[index])
    fields = [name for name in columns if name in FIELD_UNITS and name != ASKING_PRICE]
    if key:
        named = [name for name in fields if _is_measured(name, key, header[columns[name]])]
        best = max(named, key=lambda name: unit_share(name, cells), default=None)
        if best is not None and not states_numbers(cells):
            return best
    if key is None:
        if read_name(header[index]) is not None:
            return None
        fields = [name for name in BARE_UNITS if name in columns]
    needed = ALMOST_ALL if key is None else MIN_SHARE
    fits = [name for name in fields if unit_share(name, cells) > needed]
    beside = [name for name in fits if columns[name] == index - 1]
    return next(iter(beside or (fits if len(fits) == 1 else ())), None)


def _is_measured(field: str, key: str, name: str) -> bool:
    """Whether the name of a column of units says that it belongs to a field's column.

    Args:
        field: the field.
        key: what `key_of_measured` gives of the name of the column of units.
        name: of the field's column.
    """
    meant = read_name(key)
    if meant is not None and meant.field == field:
        return True
    is_distance = field == "km_driven" and key in DISTANCE_KEYS
    return is_distance or set(key.split()) <= set(header_key(name).split())


def units_beside(header: Sequence[str], index: int, cells_of: Callable[[int], Column]) -> Column:
    """The cells of the column that states the units of another one, by its name; perhaps none."""
    words = set(header_key(header[index]).split())
    for other, name in enumerate(header):
        measured = key_of_measured(name)
        if measured is None or other == index or not words.issuperset(measured.split()):
            continue
        if measured or other == index + 1:
            return cells_of(other)
    return ()


def stated_unit(field: str, text: str, header_unit: str | None) -> str:
    """The unit of a value by its cell in a column of units; `UNSTATED` if it is not clear.

    A blank cell leaves it to the header; a text that is no known unit does not: a price beside
    "KWD" is not in the dirhams of the header.

    Args:
        field: of the value.
        text: of the cell.
        header_unit: the unit that the header of the values states.
    """
    kind = CAR_FIELDS[field]
    if not isinstance(kind, Number):
        return UNSTATED
    return kind.find_unit(text) or (header_unit if is_blank(text) else None) or UNSTATED


def unit_column(
    field: str, index: int, stated: str | None, cells_of: Callable[[int], Column]
) -> UnitColumn:
    """The column that states the unit of each value of a field, or its currency.

    Args:
        field: the field.
        index: of the column.
        stated: the unit that the header of the values states.
        cells_of: the first cells of a column.
    """
    seen = {stated_unit(field, cell, stated) for cell in cells_of(index)}
    usual = seen.pop() if len(seen) == 1 else UNSTATED
    return UnitColumn(index=index, stated=stated, usual=usual or None)


def units_by_row(header: Sequence[str], field: str, column: UnitColumn) -> Notice:
    """The notice that each row is read in the unit that it states itself."""
    values = (shorten(header[column.index]),)
    return Notice(code="units-by-row", field=field, values=values)


def with_units(header: Sequence[str], stated: Mapping[int, str]) -> list[str]:
    """Names of columns together with the units in the row below or above them."""
    return [
        f"{name} ({stated[index]})" if index in stated else name
        for index, name in enumerate(header)
    ]


def unit_around(field: str, name: str, text: str | None) -> str | None:
    """The unit of a field's column that a text below or above its name states."""
    if text is None:
        return None
    unit = find_unit(field, text)
    if unit is not None:
        return unit
    named = read_name(f"{name} ({text})")
    return None if named is None else named.unit


def alternatives(name: str, find: Callable[[str], str | None]) -> tuple[str, ...]:
    """The two units between which the name of a column leaves the choice; none if it does not.

    Args:
        name: of the column.
        find: gives the unit, or currency, that a text states.

    >>> alternatives("Prix (EUR / DH)", find_currency), alternatives("Prix DH", find_currency)
    (('EUR', 'MAD'), ())
    """
    pairs = (tuple(map(find, match.groups())) for match in _ALTERNATIVES.finditer(name))
    found = (tuple(unit for unit in pair if unit) for pair in pairs)
    return next((pair for pair in found if len(set(pair)) > 1), ())


def _alternative_units(field: str, name: str) -> tuple[str, ...]:
    """As `alternatives`, of units that differ much."""
    found = alternatives(name, lambda text: find_unit(field, text))
    sizes = sorted(filter(None, (convert(field, UNIT_SAMPLE, unit) for unit in found)))
    return found if sizes and sizes[-1] > _MIN_RATIO * sizes[0] else ()


def unclear_units(
    field: str,
    name: str,
    named: str | None,
    cells: Column,
    *,
    around: str | None,
    titles: Sequence[str],
    years: Column = (),
    has_column: bool = False,
) -> tuple[str, ...]:
    """Units that the numbers of a column may have; none if its unit is clear.

    Args:
        field: of the column.
        name: of the column.
        named: the unit that its name states.
        cells: its first cells.
        around: the text below or above its name, in a row of units.
        titles: other texts above the header that may be units.
        years: the first cells of the column of years.
        has_column: whether another column states the unit of each row.
    """
    if not has_column and (either := _alternative_units(field, name)):
        return either
    unit = None if around is None else find_unit(field, around)
    titles = () if has_column else titles
    if unit is not None and named is not None and unit != named:
        return named, unit
    is_distance = field == "km_driven"
    may_be_thousands = is_distance and THOUSAND_KM not in (unit, named)
    if may_be_thousands and (may_count_thousands(cells) or are_low_for_age(cells, years)):
        return "km", THOUSAND_KM
    if around is not None or named is not None:
        return ()
    if field == "max_power_bhp" and not KW_WORDS.isdisjoint(header_key(name).split()):
        return () if have_letters(cells) else ("kW", "PS")
    # KM is a Polish horsepower, too.
    texts = [text for text in titles if is_distance or find_unit("km_driven", text) is None]
    found = dict.fromkeys(find_unit(field, text) for text in texts)
    return tuple(unit for unit in found if unit not in (None, own_unit(field)))


def may_be_miles(field: str, name: str, cells: Column) -> bool:
    """Whether neither the name "mileage" nor the cells of such a column state the unit."""
    is_odometer_name = field == "km_driven" and is_mileage(name)
    return is_odometer_name and not have_letters(cells)


def field_of_mileage(cells: Column, units: Column) -> str | None:
    """The field of a column named "mileage": the odometer, or the fuel economy."""
    for field in ("km_driven", "mileage_mpg"):
        if unit_share(field, units) > MIN_SHARE:
            return field
    return "km_driven" if is_odometer(cells) else None


def names_field(field: str, name: str) -> bool:
    """Whether the name of a column may mean a field."""
    named = read_name(name)
    if named is not None:
        return named.field == field
    is_power = field in ("max_power_bhp", "fiscal_power_cv") and header_key(name) in POWER_KEYS
    return is_power or (field in ("km_driven", "mileage_mpg") and is_mileage(name))


def unit_in_header(field: str, name: str, own: str | None, usual: str | None) -> str:
    """The unit, or currency, of a field's column under another name; `UNSTATED` if not clear.

    Args:
        field: the field.
        name: of the column, in a header among the rows.
        own: the field's own unit.
        usual: the unit of the column in the rows below the first header.
    """
    is_price = field == ASKING_PRICE
    if not names_field(field, name) or (is_price and _THOUSANDS.search(name)):
        return UNSTATED
    if alternatives(name, find_currency) if is_price else _alternative_units(field, name):
        return UNSTATED
    named = read_name(name)
    stated = find_currency(split_words(name)) if is_price else named and named.unit
    unit = stated or (None if is_price else unit_among_words(field, name))
    return unit or (own if usual == own and own else UNSTATED)


def unit_in_text(field: str, text: str) -> str | None:
    """The unit, or currency, that a word beside no value states; None if it states none."""
    if field == ASKING_PRICE:
        return None if " " in text else find_currency(text)
    return find_unit(field, text)
