"""Cells as they may be written into a file that a spreadsheet will open."""

import re
from collections.abc import Sequence

from shared.fields.kinds import is_blank
from shared.fields.numbers import parse_number
from shared.tabular.csv_reader import FIELD_MAX_CHARS

_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_RISKY_COLUMN = re.compile("(?:^|\0)[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def escape_formula(cell: str) -> str:
    """A text that a spreadsheet would run gets an apostrophe before it; numbers stay.

    >>> escape_formula("=HYPERLINK(1)"), escape_formula("-12,5"), escape_formula("-")
    ("'=HYPERLINK(1)", '-12,5', '-')
    """
    if not _FORMULA.match(cell) or is_blank(cell) or parse_number(cell, whole=False) is not None:
        return cell
    # What comes out must be as readable as what came in.
    return ("'" + cell)[:FIELD_MAX_CHARS]


def escape_column(cells: Sequence[str]) -> Sequence[str]:
    """The cells of a column, none of which a spreadsheet would run."""
    if _RISKY_COLUMN.search("\0".join(cells)) is None:
        return cells
    return [escape_formula(cell) for cell in cells]


def escape_header(names: Sequence[str]) -> list[str]:
    """The names of columns, none of which a spreadsheet would run; different ones stay so.

    >>> escape_header(["=a", "'=a", "b"])
    ["''=a", "'=a", 'b']
    """
    taken = set(names)
    escaped = []
    for name in names:
        safe = escape_formula(name)
        while safe != name and safe in taken:
            safe = "'" + safe
        taken.add(safe)
        escaped.append(safe)
    return escaped
