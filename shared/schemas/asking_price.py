"""Which column of a file, if any, is the price that is asked for each car."""

from shared.domain.batch import RESULT_COLUMNS, VERDICT_COLUMNS
from shared.domain.table import Dialect
from shared.domain.text import fold
from shared.schemas.car import CAR_FIELDS

ASKING_PRICE = "asking_price_mad"
_FIELD = CAR_FIELDS[ASKING_PRICE]
_HEADERS = frozenset(map(fold, (ASKING_PRICE, *_FIELD.aliases, _FIELD.label_fr, _FIELD.label_en)))
_OURS = frozenset({*RESULT_COLUMNS, *VERDICT_COLUMNS})
"""A result that is uploaded again has our estimate in it, which nobody asks."""


def asking_column(dialect: Dialect) -> int | None:
    """Index of the first column that is called like an asking price; None if none is.

    >>> asking_column(Dialect(header=("Marque", "Prix")))
    1
    """
    taken = set(dialect.column_of.values())
    for index, name in enumerate(dialect.header):
        if index not in taken and name not in _OURS and fold(name) in _HEADERS:
            return index
    return None
