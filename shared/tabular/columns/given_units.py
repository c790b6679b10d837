"""Units of columns that the caller states, in place of what the file seems to say."""

from collections.abc import Collection, Sequence

from shared.domain.table import Notice
from shared.fields.prices import DIRHAM, THOUSAND_DIRHAM, find_currency
from shared.fields.units import FIELD_UNITS, find_unit
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.columns.missing_columns import shorten
from shared.tabular.columns.units import PriceColumn, price_basis, price_columns

OTHER_CURRENCY = "other"
"""In place of a currency: prices in some other one, which are not read."""

_THOUSANDS = frozenset({"thousand mad", "kmad", "kdh", "kdhs", "thousand dh", "milliers de dh"})


def unit_choices(field: str) -> tuple[str, ...]:
    """The units from which the caller may choose for a field, its own first; none without units.

    >>> unit_choices("engine_cc"), unit_choices("asking_price_mad"), unit_choices("fuel")
    (('cc', 'litres'), ('MAD', 'thousand MAD', 'other'), ())
    """
    if field == ASKING_PRICE:
        return (DIRHAM, THOUSAND_DIRHAM, OTHER_CURRENCY)
    return tuple(unit.name for unit in FIELD_UNITS.get(field, ()))


def read_given_unit(field: str, text: str) -> str | None:
    """The name of the unit that the caller states for a field; None if there is no such unit.

    A foreign currency is its code.

    >>> read_given_unit("km_driven", "mi"), read_given_unit("asking_price_mad", "£")
    ('miles', 'GBP')
    >>> read_given_unit("asking_price_mad", "kDH"), read_given_unit("km_driven", "kW")
    ('thousand MAD', None)
    """
    if field != ASKING_PRICE:
        return find_unit(field, text)
    plain = " ".join(text.casefold().split())
    if plain in _THOUSANDS:
        return THOUSAND_DIRHAM
    return OTHER_CURRENCY if plain == OTHER_CURRENCY else find_currency(text)


def find_prices_in(
    header: Sequence[str], taken: Collection[int], given: int | None, unit: str
) -> PriceColumn:
    """The column of asking prices whose unit the caller states.

    Args:
        header: the names of the file's columns.
        taken: indexes of the columns that are fields of the car.
        given: the index of the column that the caller's options name.
        unit: from `read_given_unit`.
    """
    index = given if given is not None else next(iter(price_columns(header, taken)), None)
    if index is None or unit == OTHER_CURRENCY:
        return PriceColumn()
    if unit not in (DIRHAM, THOUSAND_DIRHAM):
        notice = Notice(code="foreign-currency", values=(shorten(header[index]), unit))
        return PriceColumn(currency=unit, notices=(notice,))
    basis = "given" if given is not None else price_basis(header[index])
    return PriceColumn(index, basis, unit=None if unit == DIRHAM else unit)
