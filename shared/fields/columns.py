"""Validates and normalises the cells of a file's columns.

The fields are those of the JSON body (`shared.fields.car`): a cell gets the normal form, or the
code, that the same text gets there. Only a required field can reject a row: a cell of another
field that cannot be read counts as missing, and a note says so.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from marshmallow import ValidationError

from shared.domain.car import KM_HIGH, KM_LOW, REQUIRED_FIELDS
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import MISSPELT, UNPRICED
from shared.fields.kinds.number import CONVERTED, Number
from shared.fields.kinds.text import CarField
from shared.fields.quantities import OPEN_RANGE
from shared.fields.units import own_unit

MEMO_MAX_VALUES = 100_000
"""Distinct cells of one column that are kept; beyond that, all are dropped."""

READ_CODES = frozenset({CONVERTED, MISSPELT, OPEN_RANGE, UNPRICED, KM_HIGH, KM_LOW})
"""Codes of cells that were read, though not as they stand; cells with other codes are ignored."""

NAME_FIELDS = frozenset({"company", "model"})
"""A blank cell of one of these is no error: the other one may hold both names."""
_NO_UNITS: Mapping[str, str] = MappingProxyType({})
_NO_ROW_UNITS: Mapping[str, Sequence[str]] = MappingProxyType({})


class CellError(NamedTuple):
    """A cell that breaks a rule of a required field."""

    row: int
    """Index of the row, counted from 0 in the columns given."""
    field: str
    code: str


class CellNote(NamedTuple):
    """A cell of an optional field that was ignored (its value is None), or converted.

    Its code is in `READ_CODES` if it was not ignored.
    """

    row: int
    """Index of the row, counted from 0 in the columns given."""
    field: str
    code: str


class _Remark(NamedTuple):
    """What stands for a value that has a code."""

    value: Any
    code: str


class _Memo(dict[str, Any]):
    """Normal form of each distinct cell of one column; a `_Remark` if it has a code."""

    def __init__(self, field: CarField, decimal: str, unit: str | None) -> None:
        super().__init__()
        self._field = field
        self._unit = unit
        self._rewrite = _STRIP_GROUPING.get(decimal) if isinstance(field, Number) else None
        self._may_be_blank = field.name in NAME_FIELDS
        self.has_remarks = False

    def __missing__(self, cell: str) -> Any:
        value, code = self.normalize(cell)
        if code is not None:
            self.has_remarks = True
            value = _Remark(value, code)
        self[cell] = value
        return value

    def normalize(self, cell: str) -> tuple[Any, str | None]:
        """The cell's normal form and its code."""
        text = cell
        if cell.startswith('="') and cell.endswith('"'):
            text = cell[2:-1]  # a formula that keeps a spreadsheet from changing the text
        text = self._rewrite(text) if self._rewrite else text
        try:
            return self._field.read_with_code(text, self._unit)
        except ValidationError as error:
            code = str(error.messages[0])
            return None, None if self._may_be_blank and code == "required" else code


_DOT_GROUPS = re.compile(r"(?<![\d.,])(\d{1,3})((?:\.\d{3})+)(?![\d.eE])")
_COMMA_GROUPS = re.compile(r"(?<![\d.,])(\d{1,3})((?:,\d{3})+)(?![\d,eE])")

_STRIP_GROUPING = {
    ",": lambda cell: _DOT_GROUPS.sub(lambda m: m[1] + m[2].replace(".", ""), cell),
    ".": lambda cell: _COMMA_GROUPS.sub(lambda m: m[1] + m[2].replace(",", ""), cell),
}
"""With a known decimal sign the other sign groups: "1.600" is 1600 where "4,5" is used."""


class ColumnValidator:
    """Validates columns of cells by the rules of `shared.fields.kinds`, each distinct text once.

    Args:
        decimal: the file's decimal sign, `,` or `.`; `auto`: each number decides by itself.
        units: by field, the unit that is stated for its whole column (`shared.fields.units`); a
            unit in a cell takes precedence.
    """

    def __init__(self, decimal: str = "auto", units: Mapping[str, str] = _NO_UNITS) -> None:
        self.units = units
        self._decimal = decimal
        self._memos = {
            name: _Memo(field, decimal, units.get(name)) for name, field in CAR_FIELDS.items()
        }
        self._memos_by_unit: dict[tuple[str, str], _Memo] = {}

    def validate(
        self,
        columns: Mapping[str, Sequence[str]],
        row_units: Mapping[str, Sequence[str]] = _NO_ROW_UNITS,
    ) -> tuple[dict[str, list[Any]], list[CellError], list[CellNote]]:
        """Normalise columns: the values by field, the errors, and the notes.

        The value of a cell with an error is None; that of a cell with a note is None if the cell
        was ignored. Brand and model are None where the cell is blank.

        Args:
            columns: cells by field name, all of one length; a missing column has no entry.
            row_units: by field, the unit of each cell, where a column of its own states it; one of
                `shared.fields.units`, a currency, or `UNSTATED`.
        """
        values: dict[str, list[Any]] = {}
        errors: list[CellError] = []
        notes: list[CellNote] = []
        for name, cells in columns.items():
            column, has_remarks = self._column(name, cells, row_units.get(name))
            if has_remarks:
                remarks = _extract_remarks(column)
                if name in REQUIRED_FIELDS:
                    errors += [CellError(row, name, code) for row, code in remarks]
                else:
                    notes += [CellNote(row, name, code) for row, code in remarks]
            values[name] = column
        return values, errors, notes

    def _column(
        self, name: str, cells: Sequence[str], units: Sequence[str] | None
    ) -> tuple[list[Any], bool]:
        """The normal forms of a column, and whether some of them may be remarks."""
        if units is None:
            memo = _bounded(self._memos[name])
            return list(map(memo.__getitem__, cells)), memo.has_remarks
        memos = {unit: _bounded(self._memo(name, unit)) for unit in set(units)}
        column = [memos[unit][cell] for unit, cell in zip(units, cells, strict=True)]
        return column, any(memo.has_remarks for memo in memos.values())

    def _memo(self, name: str, unit: str) -> _Memo:
        """The normal forms of cells in a unit."""
        if unit == self.units.get(name, own_unit(name)):
            return self._memos[name]
        key = (name, unit)
        if key not in self._memos_by_unit:
            self._memos_by_unit[key] = _Memo(CAR_FIELDS[name], self._decimal, unit)
        return self._memos_by_unit[key]

    def normalize(self, name: str, cell: str) -> tuple[Any, str | None]:
        """Normal form of one cell of a field's column, and the code of its error or note.

        The form is None if the cell is blank or cannot be read.
        """
        return self._memos[name].normalize(cell)


def _bounded(memo: _Memo) -> _Memo:
    """A memo, emptied if it is too long."""
    if len(memo) > MEMO_MAX_VALUES:
        memo.clear()
        memo.has_remarks = False
    return memo


def _extract_remarks(column: list[Any]) -> list[tuple[int, str]]:
    """Rows and codes of a column's remarks, which are replaced by their values."""
    remarks = [(row, value) for row, value in enumerate(column) if type(value) is _Remark]
    for row, remark in remarks:
        column[row] = remark.value
    return [(row, remark.code) for row, remark in remarks]
