"""Validates and normalises the cells of a file's columns.

The fields are those of the JSON body (`shared.fields.car`): a cell gets the normal form, or the
error, that the same text gets there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from marshmallow import ValidationError

from shared.fields.car import CAR_FIELDS
from shared.fields.kinds import CarField, Number

MEMO_MAX_VALUES = 100_000
"""Distinct cells of one column that are kept; beyond that, all are dropped."""


class CellError(NamedTuple):
    """A cell that breaks a rule of its field."""

    row: int
    """Index of the row, counted from 0 in the columns given."""
    field: str
    code: str


class _ErrorCode(str):
    """The code of a broken rule, in the place of a value."""

    __slots__ = ()


class _Memo(dict[str, Any]):
    """Normal form of each distinct cell of one column."""

    def __init__(self, field: CarField, decimal: str) -> None:
        super().__init__()
        self._field = field
        self._rewrite = _STRIP_GROUPING.get(decimal) if isinstance(field, Number) else None
        self.has_errors = False

    def __missing__(self, cell: str) -> Any:
        value = self[cell] = self.normalize(cell)
        return value

    def normalize(self, cell: str) -> Any:
        """The cell's normal form; `_ErrorCode` if it has none."""
        text = self._rewrite(cell) if self._rewrite else cell
        try:
            return self._field.read(text)
        except ValidationError as error:
            self.has_errors = True
            return _ErrorCode(error.messages[0])


_DOT_GROUPS = re.compile(r"(?<![\d.,])(\d{1,3})((?:\.\d{3})+)(?![\d.])")
_COMMA_GROUPS = re.compile(r"(?<![\d.,])(\d{1,3})((?:,\d{3})+)(?![\d,])")

_STRIP_GROUPING = {
    ",": lambda cell: _DOT_GROUPS.sub(lambda m: m[1] + m[2].replace(".", ""), cell),
    ".": lambda cell: _COMMA_GROUPS.sub(lambda m: m[1] + m[2].replace(",", ""), cell),
}
"""With a known decimal sign the other sign groups: "1.600" is 1600 where "4,5" is used."""


class ColumnValidator:
    """Validates columns of cells, each distinct text once.

    Args:
        decimal: the file's decimal sign, `,` or `.`; `auto`: each number decides by itself.
    """

    def __init__(self, decimal: str = "auto") -> None:
        self._memos = {name: _Memo(CAR_FIELDS[name], decimal) for name in CAR_FIELDS}

    def validate(
        self, columns: Mapping[str, Sequence[str]]
    ) -> tuple[dict[str, list[Any]], list[CellError]]:
        """Normalise columns; return the values by field and the errors (the value there is None).

        Args:
            columns: cells by field name, all of one length; a missing column has no entry.
        """
        values: dict[str, list[Any]] = {}
        errors: list[CellError] = []
        for name, cells in columns.items():
            memo = self._memos[name]
            if len(memo) > MEMO_MAX_VALUES:
                memo.clear()
                memo.has_errors = False
            column = list(map(memo.__getitem__, cells))
            if memo.has_errors:
                errors += _extract_errors(name, column)
            values[name] = column
        return values, errors

    def normalize(self, name: str, cell: str) -> tuple[Any, str | None]:
        """Normal form of one cell of a field's column, or None and the code of the broken rule."""
        value = self._memos[name].normalize(cell)
        return (None, str(value)) if type(value) is _ErrorCode else (value, None)


def _extract_errors(name: str, column: list[Any]) -> Iterable[CellError]:
    """The refused cells of a column; their values become None."""
    refused = [row for row, value in enumerate(column) if type(value) is _ErrorCode]
    errors = [CellError(row, name, str(column[row])) for row in refused]
    for row in refused:
        column[row] = None
    return errors
