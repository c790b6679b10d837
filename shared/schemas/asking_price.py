"""Which column of a file, if any, is the price that is asked for each car."""

from collections.abc import Collection, Sequence

from shared.domain.batch import RESULT_COLUMNS, VERDICT_COLUMNS
from shared.domain.table import ColumnMatch, Dialect
from shared.domain.text import fold
from shared.schemas.car import CAR_FIELDS
from shared.schemas.header_match import confidence_of
from shared.schemas.header_units import foreign_unit

ASKING_PRICE = "asking_price_mad"
_FIELD = CAR_FIELDS[ASKING_PRICE]
_HEADERS = frozenset(map(fold, (ASKING_PRICE, *_FIELD.aliases, _FIELD.label_fr, _FIELD.label_en)))
_OURS = frozenset({*RESULT_COLUMNS, *VERDICT_COLUMNS})
"""A result that is uploaded again has our estimate in it, which nobody asks."""


def asking_column_index(dialect: Dialect) -> int | None:
    """Index of the column of asking prices; None if there is none."""
    return None if dialect.asking is None else dialect.asking.index


def find_asking_column(
    header: Sequence[str], taken: Collection[int], rows: Sequence[Sequence[str]]
) -> ColumnMatch | None:
    """The first column that is called like an asking price; None if none is.

    Args:
        header: the names of the file's columns.
        taken: indexes of those that are fields of the car.
        rows: some rows of the file; their cells say how well the column fits.

    >>> find_asking_column(["Marque", "Prix"], {0}, [])
    ColumnMatch(index=1, confidence=0.95, basis='alias')
    """
    for index, name in enumerate(header):
        if index in taken or name in _OURS or foreign_unit(ASKING_PRICE, name) is not None:
            continue
        if fold(name) in _HEADERS:
            basis = "name" if name == ASKING_PRICE else "alias"
            cells = [row[index] for row in rows if index < len(row)]
            return ColumnMatch(
                index=index, confidence=confidence_of(basis, ASKING_PRICE, cells), basis=basis
            )
    return None
