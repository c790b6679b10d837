"""Matches the columns of a file to the fields of the car, with a confidence."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from marshmallow import ValidationError

from shared.domain.batch import RESULT_COLUMNS, VERDICT_COLUMNS
from shared.domain.car import FIELD_NAMES, REQUIRED_FIELDS
from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.domain.names import fold
from shared.domain.table import ColumnMatch
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.numbers import parse_number
from shared.tabular.csv_reader import COLUMNS_MAX

TITLE_ROWS_MAX = 20
"""A table may have titles above its header: the header is searched in so many rows."""

HEADER_MIN_FIELDS = 3
"""A single cell may be a known name by chance ("Première main"); three in one row are a header."""

HEADER_READ_MAX_CHARS = 200
"""A longer text is not looked up as a column name."""

_BRACKETS = re.compile(r"[(\[][^()\[\]]*[)\]]")
FIELD_BY_HEADER: dict[str, str] = {
    fold(spelling): name for name in FIELD_NAMES for spelling in (*CAR_FIELDS[name].names, name)
}
"""The field of every folded spelling."""


def field_for_header(header: str) -> str | None:
    """The field of the car for a column header; None if there is none.

    >>> field_for_header("Kilométrage (km)"), field_for_header("KM"), field_for_header("colour")
    ('km_driven', 'km_driven', None)
    """
    if len(header) > HEADER_READ_MAX_CHARS:
        return None
    return FIELD_BY_HEADER.get(fold(header)) or FIELD_BY_HEADER.get(
        fold(_BRACKETS.sub(" ", header))
    )


def find_header(rows: Sequence[Sequence[str]], given: Collection[str] = ()) -> int:
    """Index of the header among a table's first rows; the rows above it are titles.

    Args:
        rows: the first rows.
        given: column names from the caller's options; they count as known.

    >>> find_header([["Stock de mars"], ["Marque", "Modèle", "Année"], ["Dacia", "Logan", "2018"]])
    1
    """
    known = _known_cells(rows, given)
    most = max(known)
    return known.index(most) if most >= HEADER_MIN_FIELDS else 0


def has_header(rows: Sequence[Sequence[str]], given: Collection[str] = ()) -> bool:
    """Whether one of a table's first rows is a header with known columns."""
    return max(_known_cells(rows, given), default=0) >= HEADER_MIN_FIELDS


def _known_cells(rows: Sequence[Sequence[str]], given: Collection[str]) -> list[int]:
    """Number of known column names in each of the first rows."""
    counts = []
    for row in rows[:TITLE_ROWS_MAX]:
        fields = {cell: field_for_header(cell) for cell in map(str.strip, row) if cell}
        counts.append(
            len({field or cell for cell, field in fields.items() if field or cell in given})
        )
    return counts


_THOUSANDS = ("millier", "milliers", "en milliers", "thousand", "thousands", "x1000", "x 1000", "k")
_FOREIGN = {
    "km_driven": ("mi", "mile", "miles", "en miles", *_THOUSANDS),
    "mileage_mpg": ("l 100", "l 100km", "l 100 km", "km l", "kmpl", "kml"),
    "engine_cc": ("ci", "cid", "cu in", "in3", "inch3"),
    "max_power_bhp": ("kw", "kilowatt", "kilowatts"),
    "torque_nm": ("lb ft", "lbft", "ft lb", "ftlb", "kgm", "mkg", "kg m"),
    "asking_price_mad": (
        "eur",
        "euro",
        "euros",
        "usd",
        "dollars",
        "gbp",
        "kdh",
        "kmad",
        *_THOUSANDS,
    ),
}
"""Folded names of other units, by field."""

_CURRENCY_SYMBOLS = re.compile("[€$£]")
"""Symbols of other currencies than the dirham; folding removes them."""

_BRACKETED = re.compile(r"[(\[]([^()\[\]]*)[)\]]")


def foreign_unit(field: str, header: str) -> str | None:
    """The unit that a column's name states, in brackets or as a currency symbol, if it is foreign.

    >>> foreign_unit("km_driven", "Kilométrage (miles)"), foreign_unit("km_driven", "Km (km)")
    ('miles', None)
    >>> foreign_unit("asking_price_mad", "Prix €")
    '€'
    """
    units = _FOREIGN.get(field)
    if units is None:
        return None
    if field == "asking_price_mad" and (symbol := _CURRENCY_SYMBOLS.search(header)) is not None:
        return symbol[0]
    inside = (found.strip() for found in _BRACKETED.findall(header))
    return next((unit for unit in inside if fold(unit) in units), None)


HEADER_MAX_CHARS = 80
HEADERS_SHOWN = 40
ALIASES_SHOWN = 2
"""Aliases shown per column when several columns are missing."""

CONFIDENCE = {
    "given": 1.0,
    "name": 1.0,
    "alias": 0.95,
    "alias-and-unit": 0.9,
    "date": 0.85,
    "cells": 0.85,
}
"""Confidence by the header alone; invalid cells lower it, at worst to half."""

FISCAL_POWER_MAX_CV = 30
"""Moroccan cars have 4 to 30 fiscal horsepower; few have so little real power."""

FUEL_ECONOMY_MAX_MPG = 400
"""Maximum of the field `mileage_mpg`."""

Column = Sequence[str]
_DATE_HEADERS = frozenset({"date de mise en circulation", "mise en circulation"})
"""Dates contain the year; a column with the year alone is preferred."""

_AMBIGUOUS_POWER = frozenset({"puissance", "power"})
_AMBIGUOUS_MILEAGE = frozenset({"mileage"})


class _Candidate(NamedTuple):
    """A column that may be the column of a field."""

    column: int
    """Index of the column."""
    field: str
    basis: str


def match_header(
    header: Sequence[str],
    given: Iterable[tuple[str, str]] = (),
    rows: Sequence[Sequence[str]] = (),
) -> dict[str, ColumnMatch]:
    """The column of each field that the file has.

    Of several columns for one field, the one with the field's own name is taken.

    Args:
        header: the names of the file's columns.
        given: the caller's options: pairs of a field and a header, a position (`#3`), or "" for
            a field that is in no column.
        rows: some rows of the file, for the confidence.

    Raises:
        UnreadableUpload: a required column is missing, a name occurs twice, or two columns match
            the same field.
    """
    if len(header) > COLUMNS_MAX:
        raise UnreadableUpload.of(
            "too-many-columns", "/header", maximum=COLUMNS_MAX, count=len(header)
        )
    problems = _repeated_names(header)

    def cells_of(index: int) -> Column:
        return [row[index] for row in rows if index < len(row)]

    candidates = dict(_given_candidates(header, given, problems))
    _add_candidates(header, cells_of, candidates, problems)
    found = {field: candidate for field, candidate in candidates.items() if candidate is not None}
    if not any(problem.code == "foreign-unit" for problem in problems):
        problems += _missing_columns(header, found)
    if problems:
        raise UnreadableUpload(problems)
    return {
        field: ColumnMatch(
            index=candidate.column,
            confidence=confidence_of(candidate.basis, field, cells_of(candidate.column)),
            basis=candidate.basis,
        )
        for field, candidate in found.items()
    }


def _given_candidates(
    header: Sequence[str], given: Iterable[tuple[str, str]], problems: list[FieldProblem]
) -> Iterator[tuple[str, _Candidate | None]]:
    """The columns from the caller's options; None for a field that is in no column."""
    for field, wanted in given:
        index = find_column(header, wanted) if wanted else None
        if wanted and index is None:
            problems.append(
                FieldProblem(
                    "?columns", "unknown-column", column=_short(wanted), found=format_header(header)
                )
            )
        yield field, None if index is None else _Candidate(index, field, "given")


def find_column(header: Sequence[str], wanted: str) -> int | None:
    """Index of a column by its position (`#3`), its name, or another spelling of its name."""
    if wanted in header:
        return list(header).index(wanted)
    position = wanted.removeprefix("#")
    is_number = position.isascii() and position.isdigit() and len(position) < len("10000")
    if wanted.startswith("#") and is_number:
        return int(position) - 1 if 1 <= int(position) <= len(header) else None
    names = [fold(name) for name in header]
    return names.index(fold(wanted)) if fold(wanted) in names else None


def _add_candidates(
    header: Sequence[str],
    cells_of: Callable[[int], Column],
    candidates: dict[str, _Candidate | None],
    problems: list[FieldProblem],
) -> None:
    """Find the columns of the fields that the caller's options do not name."""
    settled = set(candidates)
    taken = {candidate.column for candidate in candidates.values() if candidate is not None}
    for index, name in enumerate(header):
        candidate = _candidate(index, name, cells_of)
        if candidate is None or candidate.field in settled or index in taken:
            continue
        if (unit := foreign_unit(candidate.field, name)) is not None:
            settled.add(candidate.field)
            problems.append(
                FieldProblem(
                    f"/header/{index}",
                    "foreign-unit",
                    column=_short(name),
                    unit=unit,
                    wanted=CAR_FIELDS[candidate.field].unit,
                    meaning=candidate.field,
                    place=index + 1,
                )
            )
            continue
        before = candidates.get(candidate.field)
        if before is None or _is_better(candidate, before):
            candidates[candidate.field] = candidate
        elif name != header[before.column] and not _is_better(before, candidate):
            problems.append(
                FieldProblem(
                    f"/header/{index}",
                    "ambiguous-column",
                    column=_short(name),
                    other=_short(header[before.column]),
                    meaning=candidate.field,
                )
            )


def _is_better(one: _Candidate, other: _Candidate) -> bool:
    """Whether a candidate ranks higher: own name, then alias, then date or cells."""
    ranks = {"name": 2, "date": 0, "cells": 0}
    return ranks.get(one.basis, 1) > ranks.get(other.basis, 1)


def _candidate(index: int, name: str, cells_of: Callable[[int], Column]) -> _Candidate | None:
    if fold(name) in _AMBIGUOUS_MILEAGE and _is_odometer(cells_of(index)):
        return _Candidate(index, "km_driven", "cells")
    field = field_for_header(name)
    if field is None:
        return None
    if name == field:
        return _Candidate(index, field, "name")
    if fold(name) in _AMBIGUOUS_POWER and _is_fiscal_power(cells_of(index)):
        return _Candidate(index, "fiscal_power_cv", "cells")
    if fold(name) in _DATE_HEADERS:
        return _Candidate(index, field, "date")
    return _Candidate(index, field, "alias" if fold(name) in FIELD_BY_HEADER else "alias-and-unit")


def _is_fiscal_power(cells: Column) -> bool:
    """Whether the cells of a column named "power" are fiscal horsepower: `7`, `8 CV`."""
    return _mostly(cells, "cv", lambda number: number <= FISCAL_POWER_MAX_CV)


def _is_odometer(cells: Column) -> bool:
    """Whether the cells of a column named "mileage" are too large for miles per gallon."""
    return _mostly(cells, "km", lambda number: number > FUEL_ECONOMY_MAX_MPG)


def _mostly(cells: Column, unit: str, holds: Callable[[float], bool]) -> bool:
    """Whether more than half of the filled cells are numbers, with this unit or none, that hold."""
    filled = [fold(cell) for cell in cells if not is_blank(cell)]
    numbers = [parse_number(text.removesuffix(unit), whole=True) for text in filled]
    return sum(number is not None and holds(number) for number in numbers) > len(filled) / 2


def confidence_of(basis: str, field: str, cells: Column) -> float:
    """Confidence that a column with these cells is a field, given the evidence of its header."""
    filled = [cell for cell in cells if not is_blank(cell)]
    share = sum(_is_valid(field, cell) for cell in filled) / len(filled) if filled else 1.0
    return round(CONFIDENCE[basis] * (0.5 + 0.5 * share), 2)


def _is_valid(field: str, cell: str) -> bool:
    try:
        CAR_FIELDS[field].deserialize(cell)
    except ValidationError:
        return False
    return True


def _repeated_names(header: Sequence[str]) -> list[FieldProblem]:
    first: dict[str, int] = {}
    places = [(first.setdefault(name, index), index) for index, name in enumerate(header)]
    return [
        FieldProblem(
            f"/header/{index}", "duplicate-column",
            column=_short(header[index]), position=index + 1, first=before + 1,
        )
        for before, index in places
        if before < index
    ]  # fmt: skip


def _missing_columns(header: Sequence[str], found: Mapping[str, _Candidate]) -> list[FieldProblem]:
    """One problem for all missing required columns."""
    missing = [name for name in REQUIRED_FIELDS if name not in found]
    if not missing:
        return []
    taken = {candidate.column for candidate in found.values()}
    free = {fold(name): name for index, name in enumerate(header) if index not in taken}
    near = {name: column for name in missing if (column := _closest(name, free))}
    mapping = ",".join(f"{name}:{column}" for name, column in near.items())
    named = ALIASES_SHOWN if len(missing) > 1 else None
    return [
        FieldProblem(
            "/header",
            "missing-column",
            fields=missing,
            columns=", ".join(
                f"{name} ({', '.join(CAR_FIELDS[name].aliases[:named])})" for name in missing
            ),
            found=format_header(header),
            mapping=f"columns={mapping or missing[0] + ':#3'}",
        )
    ]


def _closest(field: str, free: Mapping[str, str]) -> str | None:
    """The header that is most similar to a spelling of the field, if any is."""
    spellings = (spelling for spelling, name in FIELD_BY_HEADER.items() if name == field)
    for spelling in spellings:
        near = difflib.get_close_matches(spelling, free, n=1, cutoff=0.8)
        if near:
            return _short(free[near[0]])
    return None


def format_header(header: Sequence[str]) -> str:
    """The names of a header for a message."""
    names = ", ".join(_short(name) for name in islice(header, HEADERS_SHOWN))
    return names + ", …" if len(header) > HEADERS_SHOWN else names


def _short(name: str) -> str:
    return name if len(name) <= HEADER_MAX_CHARS else name[: HEADER_MAX_CHARS - 1] + "…"


ASKING_PRICE = "asking_price_mad"
_HEADERS = frozenset(map(fold, (ASKING_PRICE, *CAR_FIELDS[ASKING_PRICE].names)))
_OURS = frozenset({*RESULT_COLUMNS, *VERDICT_COLUMNS})
"""Columns of a result that is uploaded again: its estimates are no asking prices."""


def find_asking_column(
    header: Sequence[str], taken: Collection[int], rows: Sequence[Sequence[str]]
) -> ColumnMatch | None:
    """The first column with a name of the asking price; None if there is none.

    Args:
        header: the names of the file's columns.
        taken: indexes of the columns that are fields of the car.
        rows: some rows of the file, for the confidence.

    >>> find_asking_column(["Marque", "Prix"], {0}, [])
    ColumnMatch(index=1, confidence=0.95, basis='alias')
    """
    for index, name in enumerate(header):
        if index in taken or name in _OURS or foreign_unit(ASKING_PRICE, name) is not None:
            continue
        if fold(name) in _HEADERS:
            basis = "name" if name == ASKING_PRICE else "alias"
            cells = [row[index] for row in rows if index < len(row)]
            return ColumnMatch(
                index=index, confidence=confidence_of(basis, ASKING_PRICE, cells), basis=basis
            )
    return None
