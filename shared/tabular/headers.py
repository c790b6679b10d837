"""Matches the columns of a file to the fields of the car, with a confidence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from shared.domain.car import REQUIRED_FIELDS
from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.domain.table import ColumnMatch, Notice, OtherColumn, UnitColumn
from shared.fields.blanks import is_blank
from shared.fields.columns import NAME_FIELDS
from shared.fields.units import UNSTATED, find_unit, own_unit
from shared.tabular import cell_evidence
from shared.tabular.cell_evidence import Column
from shared.tabular.column_names import (
    ASKING_PRICE,
    are_of_two_objects,
    find_column,
    near_field,
    plain_names,
    read_name,
    unit_among_words,
)
from shared.tabular.columns.candidates import (
    RANKS,
    Candidate,
    better_candidate,
    find_candidate,
)
from shared.tabular.columns.given_units import find_prices_in
from shared.tabular.columns.missing_columns import (
    ambiguous_column,
    list_columns,
    missing_columns,
    no_header,
    repeated_names,
    shorten,
    unknown_column,
)
from shared.tabular.columns.units import (
    find_prices,
    in_currency_of_titles,
    may_be_miles,
    measured_field,
    unclear_units,
    unit_around,
    unit_column,
    units_by_row,
    with_units,
)

NEAR_FIELDS = (*REQUIRED_FIELDS, "fuel", "transmission", "km_driven")
"""Fields for which a name with one wrong letter is accepted, if they are in no other column."""


class MatchedColumns(NamedTuple):
    """What the columns of a file mean."""

    columns: dict[str, ColumnMatch]
    """By field of the car."""
    asking: ColumnMatch | None
    """The column of asking prices in dirhams."""
    units: dict[str, str]
    """Units by field that are not the field's own."""
    unit_columns: dict[str, UnitColumn]
    """By field: the column that states the unit of each row."""
    other_columns: dict[str, OtherColumn]
    """Columns with values in other units, read where the field's own column is blank."""
    currency: str | None
    """The foreign currency of the prices."""
    notices: tuple[Notice, ...]


class _Matcher:
    """Matches the columns of one file."""

    def __init__(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.header = header
        self.names, left_out = plain_names(header)
        """The names of the columns as they are read."""
        self._rows = rows
        self.found: dict[str, Candidate] = {}
        self._unit_columns: dict[str, int] = {}
        self.other_columns: dict[str, OtherColumn] = {}
        self.notices: list[Notice] = []
        if left_out:
            self.notices.append(Notice(code="shared-affix", values=(left_out.strip(),)))
        self.problems: list[FieldProblem] = repeated_names(header)
        self._has_title = False

    def cells_of(self, index: int) -> Column:
        """The first cells of a column."""
        return [row[index] for row in self._rows if index < len(row)]

    @property
    def taken(self) -> set[int]:
        """Indexes of the columns that are the column of a field."""
        return {candidate.column for candidate in self.found.values()}

    def add_given(self, given: Iterable[tuple[str, str]]) -> None:
        """The columns that the caller's options name."""
        for field, wanted in given:
            index = find_column(self.header, wanted) if wanted else None
            if wanted and index is None:
                self.problems.append(unknown_column(self.header, wanted))
            if index is not None:
                named = read_name(self.names[index])
                unit = named.unit if named is not None and named.field == field else None
                self.found[field] = Candidate(index, field, "given", unit, RANKS["given"])

    def add_named(self, settled: set[str]) -> None:
        """The columns whose names are known, except those of settled fields."""
        rivals: dict[str, list[Candidate]] = {}
        for candidate in self._free_candidates():
            if candidate.field not in settled:
                rivals.setdefault(candidate.field, []).append(candidate)
        for field, candidates in rivals.items():
            best = self._best(field, candidates)
            if best is not None:
                self._accept(best)

    def _free_candidates(self) -> Iterator[Candidate]:
        """The columns whose names are known, and which are no field's column yet."""
        for index in range(len(self.names)):
            if index not in self.taken:
                candidate = find_candidate(self.names, index, self.cells_of)
                if candidate is not None:
                    yield candidate

    def _accept(self, candidate: Candidate) -> None:
        self.found[candidate.field] = candidate
        if candidate.basis == "near":
            name = shorten(self.header[candidate.column])
            self.notices.append(Notice(code="near-header", field=candidate.field, values=(name,)))

    def _best(self, field: str, candidates: Sequence[Candidate]) -> Candidate | None:
        """The best of several columns for one field; None if they contradict each other."""
        best = candidates[0]
        for other in candidates[1:]:
            if self.header[best.column] == self.header[other.column]:
                continue  # reported as a repeated name
            better = better_candidate(best, other, self.names, self.cells_of)
            if better is None:
                self._report_contradiction(field, best, other)
                return None
            best = better
        others = [
            self.header[each.column]
            for each in candidates
            if each.column != best.column and not self._add_other(best, each)
        ]
        if others:
            values = tuple(shorten(name) for name in others)
            self.notices.append(Notice(code="other-column", field=field, values=values))
        return best

    def _add_other(self, best: Candidate, other: Candidate) -> bool:
        """Whether a column is read where another one is blank, perhaps in another unit."""
        field, units = best.field, (best.unit, other.unit)
        if field in self.other_columns:
            return False
        if are_of_two_objects(*(self.names[each.column] for each in (best, other))):
            return False
        columns = self.cells_of(best.column), self.cells_of(other.column)
        needs_proof = field in NAME_FIELDS or None in units
        if not cell_evidence.completes(field, *columns, units, needs_proof=needs_proof):
            return False
        same = best.unit == other.unit
        self._read_where_blank(field, other.column, "" if same else other.unit or own_unit(field))
        return True

    def _read_where_blank(self, field: str, index: int, unit: str | None) -> None:
        self.other_columns[field] = OtherColumn(index=index, unit=unit or "")
        values = tuple(filter(None, (shorten(self.header[index]), unit)))
        self.notices.append(Notice(code="read-where-blank", field=field, values=values))

    def add_merged(self, stated: Mapping[int, str]) -> None:
        """Columns without a name that share the name before them, and have another unit.

        Args:
            stated: texts of the units in a row above or below the header, by column.
        """
        fields = {candidate.column: field for field, candidate in self.found.items()}
        for index, text in stated.items():
            field = fields.get(index - 1)
            is_unnamed = index not in fields and self.header[index] == f"column_{index + 1}"
            if field is None or not is_unnamed or field in self.other_columns:
                continue
            unit = find_unit(field, text)
            if unit is not None:
                self._read_where_blank(field, index, unit)

    def _report_contradiction(self, field: str, one: Candidate, other: Candidate) -> None:
        if field in REQUIRED_FIELDS:
            self.problems.append(ambiguous_column(self.header, field, one.column, other.column))
            return
        names = tuple(shorten(self.header[each.column]) for each in (one, other))
        self.notices.append(Notice(code="contradicting-columns", field=field, values=names))

    def add_near(self, settled: set[str]) -> None:
        """The columns whose names are one letter away from a known one."""
        wanted = [name for name in NEAR_FIELDS if name not in self.found and name not in settled]
        near: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            if index not in self.taken and read_name(name) is None:
                field = near_field(name, wanted)
                if field is not None:
                    near.setdefault(field, []).append(index)
        for field, indexes in near.items():
            if len(indexes) == 1 and self._can_be(field, indexes[0]):
                self._accept(Candidate(indexes[0], field, "near", rank=RANKS["near"]))

    def _can_be(self, field: str, index: int) -> bool:
        """Whether a column has a cell that the field accepts, or no filled cells."""
        cells = self.cells_of(index)
        return all(map(is_blank, cells)) or cell_evidence.valid_share(field, cells) > 0

    def add_replaced(self, constant: set[str]) -> None:
        """Notices of columns that are not read because their field has one value for all rows."""
        replaced: dict[str, list[str]] = {}
        for candidate in self._free_candidates():
            if candidate.field in constant:
                name = shorten(self.header[candidate.column])
                replaced.setdefault(candidate.field, []).append(name)
        for field, names in replaced.items():
            notice = Notice(code="constant-over-column", field=field, values=tuple(names))
            self.notices.append(notice)

    def add_title(self, settled: set[str]) -> None:
        """A column that holds brand and model together, if there is no column of models."""
        has_brand = "company" in self.found or "company" in settled
        is_left_out = "model" in settled and "model" not in self.found
        if is_left_out or ("model" in self.found and has_brand):
            return
        company, model = self.found.get("company"), self.found.get("model")
        index = cell_evidence.find_title_column(
            self.names,
            self.taken,
            self.cells_of,
            company=None if company is None else company.column,
            model=None if model is None else model.column,
            has_brand=has_brand,
        )
        if index is None:
            return
        if company is not None and company.column == index:
            del self.found["company"]
        basis = model.basis if model is not None and model.basis == "given" else "title"
        self.found["model"] = Candidate(index, "model", basis)
        self._has_title = True
        values = (shorten(self.header[index]),)
        self.notices.append(Notice(code="title-column", field="model", values=values))

    def add_by_cells(self, settled: set[str]) -> None:
        """The columns of a file without a header, by what their cells look like."""
        free = [index for index in range(len(self.header)) if index not in self.taken]
        for field in ("year", "company", "fuel", "transmission", "condition", "km_driven"):
            if field in self.found or field in settled:
                continue
            fits = [at for at in free if cell_evidence.looks_like(field, self.cells_of(at))]
            if fits:
                self.found[field] = Candidate(fits[0], field, "cells")
                free.remove(fits[0])
        self._add_model_by_cells(free, settled)
        numbers = [at for at in free if cell_evidence.are_odometers(self.cells_of(at))]
        if len(numbers) == 1 and "km_driven" not in self.found and "km_driven" not in settled:
            self.found["km_driven"] = Candidate(numbers[0], "km_driven", "cells")

    def _add_model_by_cells(self, free: list[int], settled: set[str]) -> None:
        """The models of the brands, in any column or beside them; or a column of both."""
        if "model" in self.found or "model" in settled:
            return
        company = self.found.get("company")
        if company is None:
            titles = [at for at in free if cell_evidence.looks_like("title", self.cells_of(at))]
            model = titles[0] if titles and "company" not in settled else None
        else:
            model = cell_evidence.find_models(free, self.cells_of, company.column)
        if model is not None:
            basis = "title" if company is None else "cells"
            self.found["model"] = Candidate(model, "model", basis)
            free.remove(model)

    def add_missing(self, settled: set[str]) -> None:
        """A problem if needed columns are missing."""
        optional = {"company"} if self._has_title else set()
        missing = [
            name
            for name in REQUIRED_FIELDS
            if name not in self.found and name not in settled and name not in optional
        ]
        if missing:
            self.problems += missing_columns(self.header, missing, self.taken, self.cells_of)

    def list_columns(self, asking: int | None) -> None:
        """Let problems that a choice of columns solves list the columns.

        Args:
            asking: index of the column of asking prices.
        """
        matched = {field: candidate.column for field, candidate in self.found.items()}
        if asking is not None:
            matched.setdefault(ASKING_PRICE, asking)
        for problem in self.problems:
            if problem.code in {"missing-column", "ambiguous-column", "duplicate-column"}:
                columns = {**matched, **problem.params.get("matched", {})}
                problem.params |= list_columns(self.header, columns, self.cells_of)

    def add_units(self) -> None:
        """The columns that state the unit of each row of another column."""
        columns = {field: candidate.column for field, candidate in self.found.items()}
        for index in range(len(self.header)):
            if index not in self.taken:
                field = measured_field(self.names, index, self.cells_of(index), columns)
                if field is not None:
                    self._unit_columns.setdefault(field, index)

    def matches(self) -> dict[str, ColumnMatch]:
        """The columns found, with the confidence of each."""
        return {
            field: ColumnMatch(
                index=candidate.column,
                confidence=cell_evidence.confidence_of(
                    candidate.basis, field, self.cells_of(candidate.column)
                ),
                basis=candidate.basis,
            )
            for field, candidate in self.found.items()
            if field != ASKING_PRICE
        }

    def units(
        self, below: Mapping[int, str], titles: Sequence[str], given: Mapping[str, str]
    ) -> tuple[dict[str, str], dict[str, UnitColumn]]:
        """The units of whole columns that are not the fields' own; the columns with units.

        Args:
            below: texts of units in a row below or above the header, by column.
            titles: other texts above the header that may be units.
            given: the units that the caller states, by field.
        """
        units, unit_columns = {}, {}
        years = self.cells_of(self.found["year"].column) if "year" in self.found else ()
        for field, candidate in self.found.items():
            if field in given:
                if field != ASKING_PRICE and given[field] != own_unit(field):
                    units[field] = given[field]
                    values = (given[field],)
                    self.notices.append(Notice(code="unit-converted", field=field, values=values))
                continue
            name, cells = self.names[candidate.column], self.cells_of(candidate.column)
            named = candidate.unit or unit_among_words(field, name)
            has_column = field in self._unit_columns
            around = below.get(candidate.column)
            unclear = unclear_units(
                field, name, named, cells,
                around=around, titles=titles, years=years, has_column=has_column,
            )  # fmt: skip
            if unclear:
                units[field] = UNSTATED
                self.notices.append(Notice(code="unclear-unit", field=field, values=unclear))
                continue
            unit = unit_around(field, name, around) or candidate.unit
            if has_column:
                column = self._unit_columns[field]
                found = unit_column(field, column, unit or named, self.cells_of)
                unit_columns[field] = found
                if found.usual is None:
                    self.notices.append(units_by_row(self.header, field, found))
                    continue
                unit = found.usual
            if unit is not None and unit != own_unit(field):
                units[field] = unit
                self.notices.append(Notice(code="unit-converted", field=field, values=(unit,)))
            elif unit is None and cell_evidence.state_other_units(field, cells):
                units[field] = UNSTATED
            elif candidate.basis != "given" and unit is None and may_be_miles(field, name, cells):
                self.notices.append(Notice(code="unit-not-stated", field=field))
        return units, unit_columns


def match_columns(
    header: Sequence[str],
    given: Iterable[tuple[str, str]] = (),
    rows: Sequence[Sequence[str]] = (),
    *,
    constants: Mapping[str, str] | None = None,
    has_header: bool = True,
    units_around: Mapping[int, str] | None = None,
    titles: Sequence[str] = (),
    given_units: Mapping[str, str] | None = None,
) -> MatchedColumns:
    """The column of each field that the file has.

    Args:
        header: the names of the file's columns.
        given: the caller's options: pairs of a field and a header, a position (`#3`), or "" for
            a field that is in no column.
        rows: some rows of the file, for the evidence of their cells.
        constants: texts of fields that hold for all rows; these fields are in no column.
        has_header: whether the names are the file's own.
        units_around: texts of the units in a row below or above the header, by column.
        titles: other texts above the header that may be units.
        given_units: units by field that the caller states.

    Raises:
        UnreadableUpload: a required column is missing, a name occurs twice, or two columns of a
            required field contradict each other.
    """
    constant, below = set(constants or {}), units_around or {}
    given = [(field, wanted) for field, wanted in given if field not in constant]
    matcher = _Matcher(header, rows)
    matcher.add_given(given)
    settled = {field for field, _ in given} | constant
    matcher.add_named(settled)
    matcher.add_near(settled)
    if not has_header:
        matcher.add_by_cells(settled)
    matcher.add_title(settled)
    matcher.add_merged(below)
    matcher.add_units()
    matcher.add_replaced(constant)
    matcher.add_missing(constant)
    asking = matcher.found.get(ASKING_PRICE)
    names = with_units(matcher.names, below)
    stated = given_units or {}
    given_price = None if asking is None else asking.column
    if ASKING_PRICE in stated:
        prices = find_prices_in(names, matcher.taken, given_price, stated[ASKING_PRICE])
    else:
        prices = find_prices(names, matcher.taken, matcher.cells_of, given_price)
        prices = in_currency_of_titles(prices, names, matcher.cells_of, titles)
    if matcher.problems:
        matcher.list_columns(prices.column)
        raise UnreadableUpload(matcher.problems)
    if ASKING_PRICE in settled and asking is None:
        prices = prices._replace(column=None, currency=None, notices=())
    match, (units, unit_columns) = None, matcher.units(below, titles, stated)
    if prices.column is not None:
        cells = matcher.cells_of(prices.column)
        confidence = cell_evidence.confidence_of(prices.basis, ASKING_PRICE, cells)
        match = ColumnMatch(index=prices.column, confidence=confidence, basis=prices.basis)
        if prices.unit_column is not None:
            unit_columns[ASKING_PRICE] = prices.unit_column
        if prices.unit is not None:
            units[ASKING_PRICE] = prices.unit
    notices = (*matcher.notices, *prices.notices)
    if not has_header:
        notices = (no_header(matcher.matches(), match), *notices)
    return MatchedColumns(
        columns=matcher.matches(),
        asking=match,
        units=units,
        unit_columns=unit_columns,
        other_columns=matcher.other_columns,
        currency=prices.currency,
        notices=notices,
    )
