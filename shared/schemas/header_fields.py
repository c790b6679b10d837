"""Which field of the car a text means where the names of columns stand."""

import re
from collections.abc import Collection, Sequence

from shared.domain.car import FIELD_NAMES
from shared.domain.text import fold
from shared.schemas.car import CAR_FIELDS

TITLE_ROWS_MAX = 20
"""Above its header, a table may have a title: the header is looked for among so many rows."""

HEADER_MIN_FIELDS = 3
"""A cell may look like a name by chance ("Première main"), three in one row do not."""

HEADER_READ_MAX_CHARS = 200
"""A longer text is no name of a column: nothing is done with it."""

_BRACKETS = re.compile(r"[(\[][^()\[\]]*[)\]]")
FIELD_BY_HEADER: dict[str, str] = {
    fold(spelling): name
    for name in FIELD_NAMES
    for spelling in (
        *CAR_FIELDS[name].aliases,
        CAR_FIELDS[name].label_fr,
        CAR_FIELDS[name].label_en,
        name,
    )
}
"""The field of every folded spelling."""


def field_for_header(header: str) -> str | None:
    """The car's field that a column header means; None if it means none.

    >>> field_for_header("Kilométrage (km)"), field_for_header("KM"), field_for_header("colour")
    ('km_driven', 'km_driven', None)
    """
    if len(header) > HEADER_READ_MAX_CHARS:
        return None
    return FIELD_BY_HEADER.get(fold(header)) or FIELD_BY_HEADER.get(
        fold(_BRACKETS.sub(" ", header))
    )


def find_header(rows: Sequence[Sequence[str]], given: Collection[str] = ()) -> int:
    """Which of a table's first rows is its header; those above it are titles.

    Args:
        rows: the first rows.
        given: what the caller calls the columns; a header may be known by them alone.

    >>> find_header([["Stock de mars"], ["Marque", "Modèle", "Année"], ["Dacia", "Logan", "2018"]])
    1
    """
    known = _known_cells(rows, given)
    most = max(known)
    return known.index(most) if most >= HEADER_MIN_FIELDS else 0


def has_header(rows: Sequence[Sequence[str]], given: Collection[str] = ()) -> bool:
    """Whether one of a table's first rows names columns that are known."""
    return max(_known_cells(rows, given), default=0) >= HEADER_MIN_FIELDS


def _known_cells(rows: Sequence[Sequence[str]], given: Collection[str]) -> list[int]:
    """How many cells of each of the first rows are names of columns."""
    return [
        len(
            {
                field_for_header(cell) or cell
                for cell in row
                if cell in given or field_for_header(cell)
            }
            - {""}
        )
        for row in ([cell.strip() for cell in row] for row in rows[:TITLE_ROWS_MAX])
    ]
