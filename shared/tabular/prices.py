"""Finds the column of asking prices, and the currency that it states."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from shared.domain.batch import RESULT_COLUMNS, VERDICT_COLUMNS
from shared.domain.names import fold
from shared.domain.table import Notice
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.prices import DIRHAM, find_currency
from shared.tabular.cell_evidence import MIN_SHARE, Column
from shared.tabular.column_names import (
    ASKING_PRICE,
    CURRENCY_KEYS,
    header_key,
    read_name,
    split_words,
)
from shared.tabular.missing_columns import shorten

_OURS = frozenset({*RESULT_COLUMNS, *VERDICT_COLUMNS})
"""Columns of a result that is uploaded again: its estimates are no asking prices."""

_OURS_MIN = frozenset({"price_mad", "low_mad", "high_mad"})
"""A file with all of these is a result."""

_THOUSANDS = re.compile(
    r"\b(?:k ?(?:dhs?|mad|eur|usd|\W)|k$|milliers?|mille|thousands?|x ?1 ?000|tsd)", re.IGNORECASE
)
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
    ours = _OURS if _OURS_MIN.issubset(header) else frozenset()
    found = [
        index
        for index, name in enumerate(header)
        if index not in taken and name not in ours and _is_price(name)
    ]
    found.sort(key=lambda index: header_key(header[index]) not in _PLAIN_NAMES)
    read = [_read_column(header, index, cells_of, _basis(header[index])) for index in found]
    usable = next((each for each in read if each.column is not None), None)
    if usable is not None:
        return usable
    return read[0] if read else PriceColumn()


def _is_price(name: str) -> bool:
    found = read_name(name)
    return found is not None and found.field == ASKING_PRICE


def _basis(name: str) -> str:
    return "name" if name == ASKING_PRICE else "alias"


def _read_column(
    header: Sequence[str], index: int, cells_of: Callable[[int], Column], basis: str
) -> PriceColumn:
    """What a column of prices says of its currency and scale."""
    name = header[index]
    currency = (
        find_currency(split_words(name))
        or _stated_currency(cells_of(index))
        or _beside(header, cells_of)
    )
    if currency not in (None, DIRHAM):
        notice = Notice(code="foreign-currency", values=(shorten(name), str(currency)))
        return PriceColumn(currency=currency, notices=(notice,))
    if _THOUSANDS.search(name):
        return PriceColumn(notices=(Notice(code="price-scale", values=(shorten(name),)),))
    return PriceColumn(index, basis)


def _stated_currency(cells: Column) -> str | None:
    """The currency that most of the cells state."""
    filled = [find_currency(cell) for cell in cells if not is_blank(cell)]
    named = [currency for currency in filled if currency is not None]
    most = max(set(named), key=named.count, default=None)
    return most if most is not None and named.count(most) > MIN_SHARE * len(filled) else None


def _beside(header: Sequence[str], cells_of: Callable[[int], Column]) -> str | None:
    """The currency in a column of its own; a foreign one if only some of the rows have it."""
    for index, name in enumerate(header):
        if header_key(name) in CURRENCY_KEYS:
            named = {find_currency(cell) or fold(cell).upper() for cell in cells_of(index)} - {""}
            foreign = sorted(named - {DIRHAM})
            return foreign[0] if foreign else DIRHAM
    return None
