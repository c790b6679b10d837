"""Loads the requests for the valuation of a list of cars from JSON, by columns.

The result is that of `load_car_request` for each car. Each distinct value of a field and each
distinct pair of names is read once. A car with a value that needs a remark gets its remarks from
`load_car_request`; a list in which a rule is broken is read by it alone.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, TypeAlias

from marshmallow import ValidationError

from shared.domain.car import USUALLY_STATED, mileage_warning_code
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.lists.columns import Column
from shared.domain.lists.requests import COLUMNS_MIN_CARS, NO_REMARKS, Remarks, RequestList
from shared.domain.reading import Match, NameReading, NamesMissing, VehicleName
from shared.domain.valuation import CarRequest, Extra
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.text import CarField
from shared.fields.requests import (
    load_car_request,
    mileage_warnings,
    missing_field_warnings,
    name_warnings,
    this_year,
    unknown_member_warnings,
)
from shared.fields.shapes import CORE_FIELDS
from shared.vehicles.names import read_names

_Form: TypeAlias = tuple[str, ...]
_ALL_KNOWN: Sequence[_Form | None] = ()
ASKING_PRICE = "asking_price_mad"
_TEXTS, _INTEGERS = frozenset({str, type(None)}), frozenset({int, type(None)})
"""Types of which equal values are read alike: 0.0 and -0.0, or 1 and true, are equal too."""


def load_list(bodies: Sequence[Any], extras: tuple[Extra, ...]) -> Sequence[CarRequest]:
    """Validate the cars of a list.

    Args:
        bodies: what the caller sent, any JSON values.
        extras: what is asked for in addition to the prices.

    Raises:
        InvalidInput: with one problem per broken rule, of all cars.
    """
    if len(bodies) >= COLUMNS_MIN_CARS and (found := load_columns(bodies, extras)) is not None:
        return found
    return load_one_by_one(bodies, extras)


def load_one_by_one(bodies: Sequence[Any], extras: tuple[Extra, ...]) -> tuple[CarRequest, ...]:
    """As `load_list`; the reference for `load_columns`."""
    requests: list[CarRequest] = []
    problems: list[FieldProblem] = []
    for index, car in enumerate(bodies):
        try:
            requests.append(load_car_request(car, pointer=f"/{index}", extras=extras))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(problems)
    return tuple(requests)


def load_columns(bodies: Sequence[Any], extras: tuple[Extra, ...]) -> RequestList | None:
    """As `load_list`, by columns; None if a rule is broken.

    Args:
        bodies: as of `load_list`, at least one.
        extras: as of `load_list`.
    """
    if set(map(type, bodies)) != {dict}:
        return None
    try:
        return _load_columns(bodies, extras)
    except (ValidationError, NamesMissing, InvalidInput):
        return None


def _load_columns(bodies: Sequence[Mapping[str, Any]], extras: tuple[Extra, ...]) -> RequestList:
    members: set[str] = set().union(*bodies)
    forms = [_form(body) for body in bodies] if members - CAR_FIELDS.keys() else _ALL_KNOWN
    odd = {index for index, form in enumerate(forms) if form is not None and _lacks_core(form)}
    columns: dict[str, Column] = {}
    for name, field in CAR_FIELDS.items():
        if name in members or field.required:
            column = _read_column(field, [body.get(name) for body in bodies], odd)
            if column.count(None) < len(column):
                columns[name] = column
    asking_prices_mad = columns.pop(ASKING_PRICE, ())
    pairs = list(zip(columns["company"], columns["model"], strict=True))
    readings = {pair: read_names(*pair) for pair in dict.fromkeys(pairs)}
    columns["company"] = [readings[pair].company for pair in pairs]
    columns["model"] = [readings[pair].model for pair in pairs]
    remarks = _RemarkTable()
    numbers = _number_remarks(remarks, columns, pairs, readings, forms or (None,) * len(bodies))
    for index in odd:
        pointer = f"/{index}"
        request = load_car_request(bodies[index], pointer=pointer, extras=extras)
        own = Remarks.of(request, pointer)
        numbers[index] = remarks.number(repr(own), own)
    return RequestList(
        cars=columns,
        asking_prices_mad=asking_prices_mad,
        extras=extras,
        remarks=remarks.remarks,
        remark_numbers=numbers,
    )


def _form(body: Mapping[str, Any]) -> _Form | None:
    """The members of a car in their order; None if all are fields."""
    return None if body.keys() <= CAR_FIELDS.keys() else tuple(body)


def _lacks_core(form: _Form) -> bool:
    """Whether unknown members may stand for `CORE_FIELDS`: their values have to be looked at."""
    return not CORE_FIELDS.issubset(form)


def _read_column(field: CarField, values: list[Any], odd: set[int]) -> list[Any]:
    """The normal forms of the values of a field.

    Args:
        field: the field.
        values: one per car; None where it has none.
        odd: the indexes of values with a remark are added.

    Raises:
        ValidationError: a value breaks a rule.
    """
    types = set(map(type, values))
    if not (types <= _TEXTS or types <= _INTEGERS):
        read = list(map(field.read_with_remark, values))
        odd.update(index for index, (_, code) in enumerate(read) if code is not None)
        return [value for value, _ in read]
    normal_forms, remarked = {}, set()
    for value in set(values):
        normal_forms[value], code = field.read_with_remark(value)
        if code is not None:
            remarked.add(value)
    if remarked:
        odd.update(index for index, value in enumerate(values) if value in remarked)
    return list(map(normal_forms.__getitem__, values))


class _RemarkTable:
    """Numbers the different remarks on cars."""

    def __init__(self) -> None:
        self.remarks = [NO_REMARKS]
        self._numbers: dict[Any, int] = {}

    def number(self, key: Any, remarks: Remarks) -> int:
        """The number of remarks, which are the same for the same key."""
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.remarks)
            self.remarks.append(remarks)
        return number


def _number_remarks(
    table: _RemarkTable,
    columns: Mapping[str, Column],
    pairs: Sequence[tuple[str, str]],
    readings: Mapping[tuple[str, str], NameReading],
    forms: Sequence[_Form | None],
) -> list[int]:
    """The numbers of the remarks on cars whose values have none.

    Args:
        table: numbers them.
        columns: of the cars.
        pairs: brand and model of each car as they were given, folded.
        readings: how they were read.
        forms: the members of cars that have unknown ones.
    """
    count, year = len(pairs), this_year()
    absent: Column = (None,) * count
    usual = [columns.get(name, absent) for name in USUALLY_STATED]
    codes = [
        mileage_warning_code(year=registered, km_driven=km_driven, this_year=year)
        for registered, km_driven in zip(
            columns["year"], columns.get("km_driven", absent), strict=True
        )
    ]
    names = {
        pair: None if reading.match is Match.EXACT else pair for pair, reading in readings.items()
    }
    lacking = [[value is None for value in column] for column in usual]
    kinds = list(zip(map(names.get, pairs), forms, codes, *lacking, strict=True))
    numbers = {(None, None, None, *(False,) * len(lacking)): 0}
    for kind in dict.fromkeys(kinds):
        if kind not in numbers:
            pair, form, code, *lacks = kind
            warnings = [
                *(unknown_member_warnings(form, "") if form else ()),
                *(name_warnings(readings[pair], "") if pair else ()),
                *missing_field_warnings(compress(USUALLY_STATED, lacks), ""),
                *mileage_warnings(code, ""),
            ]
            remarks = _remarks(pair and (pair, readings[pair]), warnings)
            numbers[kind] = table.number(kind, remarks)
    return list(map(numbers.__getitem__, kinds))


def _remarks(
    names: tuple[tuple[str, str], NameReading] | None, warnings: Sequence[Mapping[str, Any]]
) -> Remarks:
    """The remarks on a car.

    Args:
        names: as they were given and read; None if they are known names.
        warnings: on the car.
    """
    if names is None:
        return Remarks(warnings=tuple(warnings))
    given, reading = names
    return Remarks(reading.match, VehicleName(*given), reading.suggestions, tuple(warnings))
