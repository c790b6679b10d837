"""Which column of a file is which field of the car, and whether its cells are valid.

The fields are those of the JSON body (`shared.schemas.car`): a cell gets the verdict and the
normal form that the same text gets there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from marshmallow import ValidationError

from shared.domain.car import FIELD_NAMES, REQUIRED_FIELDS
from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.domain.text import fold
from shared.schemas.car import CAR_FIELDS
from shared.schemas.csv_reader import COLUMNS_MAX
from shared.schemas.fields import CarField, Number

MEMO_MAX_VALUES = 100_000
"""Distinct cells of one column that are remembered; then the memory starts anew."""

HEADER_MAX_SIGNS = 80
HEADERS_SHOWN = 40


def field_of(header: str) -> str | None:
    """The car's field that a column header means; None if it means none.

    >>> field_of("Kilométrage"), field_of("KM"), field_of("colour")
    ('km_driven', 'km_driven', None)
    """
    return _FIELD_BY_HEADER.get(fold(header))


_FIELD_BY_HEADER: dict[str, str] = {
    fold(spelling): name
    for name in FIELD_NAMES
    for spelling in (
        *CAR_FIELDS[name].aliases,
        CAR_FIELDS[name].label_fr,
        CAR_FIELDS[name].label_en,
        name,
    )
}


def match_header(header: Sequence[str]) -> dict[str, int]:
    """Index of the column of each field that the file has.

    Of several columns for one field, the one that bears the field's own name counts.

    Raises:
        UnreadableUpload: a needed column is missing, a name stands twice, or two columns could
            be the same field.
    """
    if len(header) > COLUMNS_MAX:
        raise UnreadableUpload(
            [FieldProblem("/header", "too-many-columns", maximum=COLUMNS_MAX, count=len(header))]
        )
    problems = _repeated_names(header)
    columns: dict[str, int] = {}
    for index, name in enumerate(header):
        field = field_of(name)
        if field is None:
            continue
        if field not in columns or name == field:
            columns[field] = index
        elif header[columns[field]] != field:
            problems.append(
                FieldProblem(
                    f"/header/{index}",
                    "ambiguous-column",
                    column=_short(name),
                    other=_short(header[columns[field]]),
                    meaning=field,
                )
            )
    problems += _missing_columns(header, columns)
    if problems:
        raise UnreadableUpload(problems)
    return columns


def _repeated_names(header: Sequence[str]) -> list[FieldProblem]:
    first: dict[str, int] = {}
    problems = []
    for index, name in enumerate(header):
        if name in first:
            problems.append(
                FieldProblem(
                    f"/header/{index}",
                    "duplicate-column",
                    column=_short(name),
                    position=index + 1,
                    first=first[name] + 1,
                )
            )
        first.setdefault(name, index)
    return problems


def _missing_columns(header: Sequence[str], columns: Mapping[str, int]) -> list[FieldProblem]:
    found = ", ".join(_short(name) for name in header[:HEADERS_SHOWN])
    if len(header) > HEADERS_SHOWN:
        found += ", …"
    return [
        FieldProblem(
            "/header",
            "missing-column",
            column=name,
            found=found,
            aliases=", ".join((name, *CAR_FIELDS[name].aliases)),
        )
        for name in REQUIRED_FIELDS
        if name not in columns
    ]


def _short(name: str) -> str:
    return name if len(name) <= HEADER_MAX_SIGNS else name[: HEADER_MAX_SIGNS - 1] + "…"


class CellError(NamedTuple):
    """A cell that breaks a rule of its field."""

    row: int
    """Index of the row, counted from 0 in the columns given."""
    field: str
    code: str


class _Refused(str):
    """The code of a broken rule, where a value would stand."""

    __slots__ = ()


class _Memo(dict[str, Any]):
    """Normal form of each distinct cell of one column."""

    def __init__(self, field: CarField, decimal: str) -> None:
        super().__init__()
        self._field = field
        self._rewrite = _REWRITE.get(decimal) if isinstance(field, Number) else None
        self.has_refused = False

    def __missing__(self, cell: str) -> Any:
        value = self[cell] = self._normal_form(cell)
        return value

    def _normal_form(self, cell: str) -> Any:
        text = self._rewrite(cell) if self._rewrite else cell
        try:
            return self._field.deserialize(text)
        except ValidationError as error:
            self.has_refused = True
            return _Refused(error.messages[0])


_DOT_GROUPS = re.compile(r"(?<![\d.,])(\d{1,3})((?:\.\d{3})+)(?![\d.])")
_COMMA_GROUPS = re.compile(r"(?<![\d.,])(\d{1,3})((?:,\d{3})+)(?![\d,])")

_REWRITE = {
    ",": lambda cell: _DOT_GROUPS.sub(lambda m: m[1] + m[2].replace(".", ""), cell),
    ".": lambda cell: _COMMA_GROUPS.sub(lambda m: m[1] + m[2].replace(",", ""), cell),
}
"""Where the decimal sign is known, the other one only groups: "1.600" is 1600 beside "4,5"."""


class ColumnValidator:
    """Validates columns of cells, each distinct text once.

    Args:
        decimal: the file's decimal sign, `,` or `.`; `auto` reads each number by itself.
    """

    def __init__(self, decimal: str = "auto") -> None:
        self._memos = {name: _Memo(CAR_FIELDS[name], decimal) for name in FIELD_NAMES}

    def validate(
        self, columns: Mapping[str, Sequence[str]]
    ) -> tuple[dict[str, list[Any]], list[CellError]]:
        """Normal forms by field, and the cells that have none (None stands in their place).

        Args:
            columns: cells by field name, all of one length; a missing column has no entry.
        """
        values: dict[str, list[Any]] = {}
        errors: list[CellError] = []
        for name, cells in columns.items():
            memo = self._memos[name]
            if len(memo) > MEMO_MAX_VALUES:
                memo.clear()
                memo.has_refused = False
            column = list(map(memo.__getitem__, cells))
            if memo.has_refused:
                errors += _take_refused(name, column)
            values[name] = column
        return values, errors


def _take_refused(name: str, column: list[Any]) -> Iterable[CellError]:
    """The refused cells of a column; their values become None."""
    refused = [row for row, value in enumerate(column) if type(value) is _Refused]
    errors = [CellError(row, name, str(column[row])) for row in refused]
    for row in refused:
        column[row] = None
    return errors
