"""Cells as they may be written into a file that a spreadsheet will open."""

import re
from collections.abc import Sequence

from shared.schemas.fields import is_blank
from shared.schemas.numbers import parse_number

_FORMULA = re.compile("[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_RISKY_COLUMN = re.compile("(?:^|\0)[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")


def escape_formula(cell: str) -> str:
    """A text that a spreadsheet would run gets an apostrophe before it; numbers stay.

    >>> escape_formula("=HYPERLINK(1)"), escape_formula("-12,5"), escape_formula("-")
    ("'=HYPERLINK(1)", '-12,5', '-')
    """
    if not _FORMULA.match(cell) or is_blank(cell) or parse_number(cell, whole=False) is not None:
        return cell
    return "'" + cell


def escape_column(cells: Sequence[str]) -> Sequence[str]:
    """The cells of a column, none of which a spreadsheet would run."""
    if _RISKY_COLUMN.search("\0".join(cells)) is None:
        return cells
    return [escape_formula(cell) for cell in cells]
