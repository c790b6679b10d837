"""The unit of each row's value, where a column of its own or a row above states it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from shared.domain.files.notes import NoteCount, NoteCounter
from shared.domain.table import Dialect
from shared.fields.blanks import is_blank
from shared.fields.columns import READ_CODES
from shared.fields.numbers import parse_number
from shared.fields.units import UNSTATED, own_unit
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.columns.units import stated_unit
from shared.tabular.rows.chunk import CellChunk

CHANGED_UNITS = UNIT_CHANGED, UNCLEAR_UNIT = "unit-changed", "unclear-unit"
"""Codes of notes on rows below a header or a row of units that changes the unit of a column."""


def fill_blanks(cells: Sequence[str], others: Sequence[str], unit: str) -> list[str]:
    """The cells of a field's column, the blank ones replaced by those of another with their unit.

    Args:
        cells: of the field's own column.
        others: of the other column, in the same rows.
        unit: of the other column, empty for that of the field's own one; a unit in a cell takes
            precedence.
    """
    return [
        _with_unit(other, unit) if is_blank(cell) and not is_blank(other) else cell
        for cell, other in zip(cells, others, strict=True)
    ]


def _with_unit(cell: str, unit: str) -> str:
    return f"{cell} {unit}" if unit and parse_number(cell, whole=True) is not None else cell


def cells_by_field(dialect: Dialect, chunk: CellChunk) -> dict[str, Sequence[str]]:
    """The cells of each field that the file has, and the asking prices."""
    cells: dict[str, Sequence[str]] = {
        field: chunk.columns[index] for field, index in dialect.column_indexes.items()
    }
    for field, other in dialect.other_columns.items():
        cells[field] = fill_blanks(cells[field], chunk.columns[other.index], other.unit)
    if (asking := dialect.asking_index) is not None:
        cells[ASKING_PRICE] = chunk.columns[asking]
    return cells


def _segments(chunk: CellChunk) -> Iterator[tuple[int, int, Mapping[str, str]]]:
    """First row, the row after the last one, and the units that differ from those of the file."""
    if not chunk.units:
        return
    stops = [*(row for row, _ in chunk.units[1:]), len(chunk)]
    for (start, units), stop in zip(chunk.units, stops, strict=True):
        yield start, stop, units


class RowUnits:
    """The units of the rows of a chunk.

    Args:
        dialect: of the file.
        chunk: the rows.
    """

    def __init__(self, dialect: Dialect, chunk: CellChunk) -> None:
        columns = dialect.unit_columns
        self._cells = {name: chunk.columns[unit.index] for name, unit in columns.items()}
        self._columns = columns
        self._faults = chunk.faults
        self._by_field: dict[str, Sequence[str]] = {
            name: self._read(name, cells) for name, cells in self._cells.items()
        }
        self.changed: dict[str, list[tuple[int, str]]] = defaultdict(list)
        """By field: rows whose unit a header or row of units above has changed, and the unit."""
        for start, stop, units in _segments(chunk):
            for name, unit in units.items():
                self._change(name, unit, range(start, stop), dialect, len(chunk))

    @property
    def by_field(self) -> Mapping[str, Sequence[str]]:
        """The unit of each row, by field, if they may differ from row to row."""
        return self._by_field

    def _read(self, field: str, cells: Sequence[str]) -> Sequence[str]:
        header_unit = self._columns[field].stated
        known = {cell: stated_unit(field, cell, header_unit) for cell in set(cells)}
        return list(map(known.__getitem__, cells))

    def _change(self, field: str, unit: str, rows: range, dialect: Dialect, size: int) -> None:
        """Let rows have another unit, unless the cell in the column of units states theirs."""
        usual = dialect.units.get(field, own_unit(field)) or UNSTATED
        units = list(self._by_field.get(field, [usual] * size))
        cells = self._cells.get(field)
        for row in rows:
            if cells is None or is_blank(cells[row]):
                units[row] = unit
                self.changed[field].append((row, unit))
        self._by_field[field] = units

    def count_changed(self, cells: Mapping[str, Sequence[str]]) -> Sequence[NoteCount]:
        """Counts of rows, also rejected ones, with a value in a unit that a row above has changed.

        Args:
            cells: by field.
        """
        counter = NoteCounter()
        for field, rows in self.changed.items():
            for row, unit in rows:
                if row not in self._faults and not is_blank(cells[field][row]):
                    code, examples = (UNIT_CHANGED, [unit]) if unit else (UNCLEAR_UNIT, [])
                    counter.add(field, code, 1, examples)
        return counter.result()

    def quote(self, field: str, code: str, row: int, cell: str) -> str:
        """A cell as a note quotes it: an ignored one with its unit, unless that is the usual one.

        Rows with the usual unit have the same notes in the fast CSV engine, which quotes no units.
        """
        if code in READ_CODES or field not in self._cells:
            return cell
        is_usual = self.by_field[field][row] == self._columns[field].usual
        return cell if is_usual else f"{cell} {self._cells[field][row]}".strip()
