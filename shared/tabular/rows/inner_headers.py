"""Headers and rows of units among the rows of a file: they change the units of what follows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shared.domain.table import Dialect
from shared.fields.blanks import is_blank
from shared.fields.units import FIELD_UNITS, UNSTATED, own_unit
from shared.tabular.cell_evidence import may_describe_car
from shared.tabular.column_names import ASKING_PRICE, field_for_header, read_name
from shared.tabular.columns.units import names_field, unit_in_header, unit_in_text
from shared.tabular.csv_reader import REPEATED_HEADER, repeats_header
from shared.tabular.header_row import HEADER_MIN_FIELDS, unit_texts, units_in_titles

UNITS_ROW, AFTER_OTHER_HEADER = "units-row", "after-other-header"
"""Codes of a row that states units, and of a row below a header with other columns."""

_WITH_DIGITS = tuple(dict.fromkeys(("year", "km_driven", ASKING_PRICE, *FIELD_UNITS)))
_PROBED = (*_WITH_DIGITS, "model", "company")
_DESCRIBING = ("company", "model", "year")


class InnerState(NamedTuple):
    """What the headers and rows of units up to a place in a file have changed."""

    units: Mapping[str, str] = {}
    """Units by field that hold from here on, where they are not those of the file;
    `shared.fields.units.UNSTATED` if it is not clear which one holds."""
    has_other_columns: bool = False
    """Whether the last header puts other fields into the columns than that of the file."""

    @property
    def is_unchanged(self) -> bool:
        """Whether rows are read as the first ones are."""
        return not self.units and not self.has_other_columns


class InnerHeaders:
    """Recognises headers and rows of units below the header of a file, in the order of its rows.

    Args:
        dialect: of the file.
        state: what the rows before have changed.
    """

    def __init__(self, dialect: Dialect, state: InnerState) -> None:
        self.state = state
        self._header = dialect.header
        self._has_header = dialect.has_header
        columns = dict(dialect.column_indexes)
        if dialect.asking_index is not None:
            columns[ASKING_PRICE] = dialect.asking_index
        self._names = [columns[name] for name in _DESCRIBING if name in columns]
        self.probe = next((columns[name] for name in _PROBED if name in columns), None)
        """The column whose cells have digits, or no names of columns, in the rows of cars."""
        self.can_probe_digits = any(name in columns for name in _WITH_DIGITS)
        """Whether the probed cells of cars have digits."""
        is_name_probed = self.probe is None or not any(map(str.isdigit, self._header[self.probe]))
        self.finds_repeated_header = self.can_probe_digits and is_name_probed
        """Whether a row that repeats the header has no digits in the probed column."""
        self._columns = columns
        self._others = {name: each.index for name, each in dialect.other_columns.items()}
        self._file_units = {
            name: dialect.units.get(name, own_unit(name)) for name in columns if name in FIELD_UNITS
        }

    def read(self, cells: Sequence[str]) -> str | None:
        """The message code of a row that is no car, which may change the state; mostly None.

        Args:
            cells: of the row, as many as the header has.
        """
        found = self.find(cells)
        if found is not None:
            code, self.state = found
            return code
        return AFTER_OTHER_HEADER if self.state.has_other_columns else None

    def find(self, cells: Sequence[str]) -> tuple[str, InnerState] | None:
        """What a row is if it is a header or states units, and the state after it."""
        if self.probe is None or any(map(str.isdigit, cells[self.probe])):
            return None
        filled = {index: cell for index, cell in enumerate(cells) if not is_blank(cell)}
        if self._is_header(filled) or (self._has_header and repeats_header(cells, self._header)):
            return REPEATED_HEADER, self._after_header(filled)
        units = self._stated_units(filled)
        if units is None:
            return None
        return UNITS_ROW, self._with(units)

    def _is_header(self, filled: Mapping[int, str]) -> bool:
        fields = {field_for_header(cell.strip()) for cell in filled.values()} - {None}
        fields |= {name for name, index in self._columns.items() if self._repeats(filled, index)}
        return len(fields) >= HEADER_MIN_FIELDS or (
            len(fields) >= HEADER_MIN_FIELDS - 1 and len(fields) == len(filled)
        )

    def _repeats(self, filled: Mapping[int, str], index: int) -> bool:
        return filled.get(index, "").strip() == self._header[index]

    def _after_header(self, filled: Mapping[int, str]) -> InnerState:
        """The state after a header."""
        units, has_other_columns = {}, False
        for name, index in self._columns.items():
            cell = filled.get(index, "").strip()
            if not cell or self._repeats(filled, index):
                continue
            if not names_field(name, cell) and read_name(cell) is not None:
                has_other_columns = True
            elif name in self._file_units:
                usual = self._file_units[name]
                units[name] = unit_in_header(name, cell, own_unit(name), usual)
        for index in self._others.values():
            cell, known = filled.get(index, "").strip(), read_name(self._header[index])
            has_other_columns |= bool(cell) and read_name(cell) != known
        blank = {
            name: unit
            for name, unit in self.state.units.items()
            if self._columns[name] not in filled
        }
        return self._with(units, blank)._replace(has_other_columns=has_other_columns)

    def _stated_units(self, filled: Mapping[int, str]) -> dict[str, str] | None:
        """The units by field that a row states; None if it is no row of units."""
        if any(index in filled and may_describe_car(filled[index]) for index in self._names):
            return None
        units: dict[str, str] = {}
        for name in self._file_units:
            texts = unit_texts(filled.get(self._columns[name], ""))
            found = [unit for text in texts if (unit := unit_in_text(name, text)) is not None]
            if found:
                units[name] = found[0]
        places = {self._columns[name] for name in units}
        if units and not any(
            may_describe_car(cell) for index, cell in filled.items() if index not in places
        ):
            return units
        return self._units_in_words(next(iter(filled.values()))) if len(filled) == 1 else None

    def _units_in_words(self, cell: str) -> dict[str, str] | None:
        """The fields whose units a remark makes unclear: "Distances in miles"."""
        texts = units_in_titles([[cell]])
        is_distance = any(unit_in_text("km_driven", text) for text in texts)
        unclear = {}
        for name, usual in self._file_units.items():
            if is_distance and name != "km_driven":
                continue  # KM is a Polish horsepower, too
            found = {unit_in_text(name, text) for text in texts} - {None}
            if found - {self.state.units.get(name, usual)}:
                unclear[name] = UNSTATED
        return unclear or None

    def _with(self, units: Mapping[str, str], kept: Mapping[str, str] | None = None) -> InnerState:
        """The state with some units; those of the file are left out.

        Args:
            units: by field.
            kept: units of other fields; None: all of the state.
        """
        merged = {**(self.state.units if kept is None else kept), **units}
        changed = {name: unit for name, unit in merged.items() if unit != self._file_units[name]}
        return self.state._replace(units=changed)
