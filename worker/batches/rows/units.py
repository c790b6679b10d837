"""The unit of each row's value, where a column of its own states it."""

from collections.abc import Mapping, Sequence

from shared.domain.table import Dialect, UnitColumn
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.columns import READ_CODES
from shared.fields.kinds.number import Number
from shared.fields.numbers import parse_number
from shared.fields.units import UNSTATED


def stated_unit(field: str, column: UnitColumn, text: str) -> str:
    """The unit that the cell of a column of units states; `UNSTATED` if it states none."""
    kind = CAR_FIELDS[field]
    found = kind.find_unit(text) if isinstance(kind, Number) else None
    return found or column.stated or UNSTATED


def fill_blanks(cells: Sequence[str], others: Sequence[str], unit: str) -> list[str]:
    """The cells of a field's column, the blank ones replaced by those of another with their unit.

    Args:
        cells: of the field's own column.
        others: of the other column, in the same rows.
        unit: of the other column; a unit in a cell takes precedence.
    """
    return [
        _with_unit(other, unit) if is_blank(cell) and not is_blank(other) else cell
        for cell, other in zip(cells, others, strict=True)
    ]


def _with_unit(cell: str, unit: str) -> str:
    return cell if parse_number(cell, whole=True) is None else f"{cell} {unit}"


class RowUnits:
    """The units of the rows of a chunk.

    Args:
        dialect: of the file.
        columns: the cells of the chunk by column.
    """

    def __init__(self, dialect: Dialect, columns: Sequence[Sequence[str]]) -> None:
        self._cells = {name: columns[unit.index] for name, unit in dialect.unit_columns.items()}
        self._columns = dialect.unit_columns
        self.by_field: Mapping[str, Sequence[str]] = {
            name: self._read(name, cells) for name, cells in self._cells.items()
        }

    def _read(self, field: str, cells: Sequence[str]) -> Sequence[str]:
        known = {cell: stated_unit(field, self._columns[field], cell) for cell in set(cells)}
        return list(map(known.__getitem__, cells))

    def quote(self, field: str, code: str, row: int, cell: str) -> str:
        """A cell as a note quotes it: an ignored one with its unit, unless that is the usual one.

        Rows with the usual unit have the same notes in the fast CSV engine, which quotes no units.
        """
        if code in READ_CODES or field not in self._cells:
            return cell
        is_usual = self.by_field[field][row] == self._columns[field].usual
        return cell if is_usual else f"{cell} {self._cells[field][row]}".strip()
