"""Writes the cells of result files, and escapes those that a spreadsheet would run as formulas."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from shared.fields.blanks import is_blank
from shared.fields.numbers import parse_number
from shared.tabular.csv_reader import FIELD_MAX_CHARS

_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""A spreadsheet runs a cell that begins with one of these."""
_SIGN_STARTS = tuple("=+-@")
"""Begin a mark for an empty cell, such as "-"; white space before a mark is not part of it."""


def escape_formula(cell: str) -> str:
    """Prefix a cell that a spreadsheet would run with an apostrophe; numbers stay.

    A cell that begins with apostrophes before a formula gets another one: `restore_formula` returns
    every cell as it was.

    >>> escape_formula("=HYPERLINK(1)"), escape_formula("-12,5"), escape_formula("-")
    ("'=HYPERLINK(1)", '-12,5', '-')
    >>> escape_formula("'=a"), escape_formula("'a")
    ("''=a", "'a")
    """
    if not _is_formula(cell.lstrip("'")):
        return cell
    return _escape(cell)


def restore_formula(cell: str) -> str:
    """The cell that `escape_formula` wrote.

    >>> restore_formula("'=HYPERLINK(1)"), restore_formula("''=a"), restore_formula("'a")
    ('=HYPERLINK(1)', "'=a", "'a")
    """
    if cell.startswith("'") and _is_formula(cell.lstrip("'")):
        return cell[1:]
    return cell


def _is_formula(cell: str) -> bool:
    """Whether a spreadsheet would run a cell; numbers and marks for an empty cell are none."""
    return (
        cell.startswith(_FORMULA_STARTS)
        and not (cell.startswith(_SIGN_STARTS) and is_blank(cell))
        and parse_number(cell, whole=False) is None
    )


def _escape(text: str) -> str:
    # A result may be uploaded again: no cell may exceed the limit of the reader.
    return ("'" + text)[:FIELD_MAX_CHARS]


def escape_column(cells: Sequence[str]) -> Sequence[str]:
    """Escape the cells of a column."""
    text = "\0".join(("", *cells))
    # Most columns have none of the characters, and a search for one is fast.
    if not any(start in text and f"\0{start}" in text for start in ("'", *_FORMULA_STARTS)):
        return cells
    return [escape_formula(cell) for cell in cells]


def escape_header(names: Sequence[str]) -> list[str]:
    """Escape the names of columns; different names stay different.

    >>> escape_header(["=a", "'=a", "b"])
    ["''=a", "'=a", 'b']
    """
    taken = set(names)
    escaped = []
    for name in names:
        safe = _escape(name) if _is_formula(name) else name
        while safe != name and safe in taken:
            safe = "'" + safe
        taken.add(safe)
        escaped.append(safe)
    return escaped


def csv_cell(text: str, delimiter: str = ",") -> bytes:
    r"""A cell of a result file, as `csv_lines` writes it among other cells.

    >>> csv_cell("a b"), csv_cell('a "b", c')
    (b'a b', b'"a ""b"", c"')
    """
    # Four searches for one character are faster than a regular expression.
    if delimiter in text or '"' in text or "\n" in text or "\r" in text:
        return b'"%b"' % text.replace('"', '""').encode()
    return text.encode()


def csv_lines(
    columns: Sequence[Sequence[Any]], delimiter: str = ",", line_end: str = "\n"
) -> bytes:
    """Lines of a result file in UTF-8.

    Args:
        columns: the cells by column.
        delimiter: between the cells.
        line_end: of each line.
    """
    lines = io.StringIO()
    csv.writer(lines, delimiter=delimiter, lineterminator=line_end).writerows(
        zip(*columns, strict=True)
    )
    if line_end == "\n" and "\r" in lines.getvalue():
        # The writer quotes its own line terminator only; a lone carriage return needs quotes too.
        lines = io.StringIO()
        quoted = csv.writer(
            lines, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL
        )
        quoted.writerows(zip(*columns, strict=True))
    return lines.getvalue().encode()
