"""Loads the request for a valuation of one car from JSON, with its warnings."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from marshmallow import ValidationError

from shared.domain.car import USUALLY_STATED, CarFeatures, mileage_warning_code
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.names import fold_name
from shared.domain.reading import Match, NameReading, NamesMissing, VehicleName
from shared.domain.valuation import CarRequest, Extra
from shared.fields.car import CAR_FIELDS, CAR_REQUEST_SCHEMA
from shared.fields.kinds.category import MISSPELT
from shared.fields.kinds.text import CarField
from shared.fields.shapes import (
    CORE_FIELDS,
    NAME_MAX_CHARS,
    member_pointer,
    named_field,
    shape_problems,
)
from shared.vehicles.names import display_names, read_names


class LoadedFields(NamedTuple):
    """The members of a body that breaks no rule."""

    given: dict[str, Any]
    """Normal form of every field; None for missing ones."""
    remarks: list[tuple[str, str]]
    """Field and code of each value that was ignored or converted."""
    unknown: list[str]
    """Members that are no field."""


class QuickLoader:
    """Loads valid cars faster than marshmallow.

    Args:
        fields: all fields of the schema, by name, without data keys, attributes or validators.

    Raises:
        ValueError: a field has one of these.
    """

    def __init__(self, fields: Mapping[str, CarField]) -> None:
        for name, field in fields.items():
            if field.data_key is not None or field.attribute is not None or field.validators:
                raise ValueError(f"{name}: a data key, attribute or validator is not known here")
        self._readers = {name: field.read_with_remark for name, field in fields.items()}
        self._required = [name for name, field in fields.items() if field.required]

    def load(self, body: Mapping[str, Any]) -> LoadedFields | None:
        """What the members are read as; None if a rule is broken."""
        given: dict[str, Any] = dict.fromkeys(self._readers)
        remarks, unknown = [], []
        try:
            for name, value in body.items():
                read = self._readers.get(name)
                if read is None:
                    unknown.append(name)
                else:
                    given[name], code = read(value)
                    if code is not None:
                        remarks.append((name, code))
        except ValidationError:
            return None
        for name in self._required:
            if given[name] is None:
                return None
        return LoadedFields(given, remarks, unknown)


_QUICK_LOADER = QuickLoader(CAR_FIELDS)

MAX_WARNINGS = 20


def load_car_request(body: Any, *, pointer: str = "", extras: tuple[Extra, ...] = ()) -> CarRequest:
    """Validate one car.

    Args:
        body: what the caller sent, any JSON value.
        pointer: JSON pointer of `body` inside the whole document, for the problems.
        extras: what is asked for in addition to the price.

    Raises:
        InvalidInput: with one problem per broken rule.
    """
    if not isinstance(body, dict):
        is_list = isinstance(body, list) and not pointer
        raise InvalidInput([FieldProblem(pointer, "list-of-cars" if is_list else "not-an-object")])
    if not body.keys() >= CORE_FIELDS and (problems := shape_problems(body, pointer)):
        raise InvalidInput(problems)
    loaded = _QUICK_LOADER.load(body)
    if loaded is None:
        raise InvalidInput(_find_problems(body, pointer))
    given = loaded.given
    asking_price_mad = given.pop("asking_price_mad")
    written = VehicleName(given["company"], given["model"])
    reading = _read_names(written, pointer)
    car = CarFeatures(**given | {"company": reading.company, "model": reading.model})
    return CarRequest(
        car=car,
        asking_price_mad=asking_price_mad,
        extras=extras,
        match=reading.match,
        given=None if reading.match is Match.EXACT else written,
        suggestions=reading.suggestions,
        warnings=(
            *(_warnings(loaded, body, pointer) if loaded.remarks or loaded.unknown else ()),
            *name_warnings(reading, pointer),
            *missing_field_warnings(
                (name for name in USUALLY_STATED if given[name] is None), pointer
            ),
            *mileage_warnings(
                mileage_warning_code(year=car.year, km_driven=car.km_driven, this_year=this_year()),
                pointer,
            ),
        ),
    )


def _read_names(written: VehicleName, pointer: str) -> NameReading:
    """Read brand and model.

    Raises:
        InvalidInput: they name no brand, or no model.
    """
    try:
        return read_names(written.company, written.model)
    except NamesMissing as error:
        code, value = (
            ("brand-not-found", written.company)
            if error.field == "company"
            else ("model-not-found", written.model)
        )
        problem = FieldProblem(f"{pointer}/{error.field}", code, field=error.field, value=value)
        raise InvalidInput([problem]) from None


_NAME_WARNINGS = {Match.CORRECTED: "name-corrected", Match.AMBIGUOUS: "name-ambiguous"}


def name_warnings(reading: NameReading, pointer: str) -> list[dict[str, Any]]:
    """The warning that names were not taken as they were written."""
    code = _NAME_WARNINGS.get(reading.match)
    if code is None:
        return []
    near = [" ".join(display_names(each.company, each.model)) for each in reading.suggestions]
    return [
        {
            "pointer": f"{pointer}/model",
            "code": code,
            "read_as": " ".join(display_names(reading.company, reading.model)),
            "suggestions": ", ".join(near),
        }
    ]


def _find_problems(body: Mapping[str, Any], pointer: str) -> list[FieldProblem]:
    """One problem for each rule that a body breaks."""
    try:
        CAR_REQUEST_SCHEMA.load(body)
    except ValidationError as error:
        broken: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
        problems = [
            FieldProblem(f"{pointer}/{name}", code, field=name, value=body.get(name))
            for name, codes in broken.items()
            for code in codes
        ]
        return [_names_in_one(problem, body) for problem in problems]
    raise AssertionError("the schema accepts what the quick loader refuses")


_OTHER_NAME = {"company": "model", "model": "company"}


def _names_in_one(problem: FieldProblem, body: Mapping[str, Any]) -> FieldProblem:
    """The problem of a missing brand or model, if the other one holds both: "Dacia Logan"."""
    name = problem.params["field"]
    text = body.get(_OTHER_NAME.get(name, ""))
    if problem.code != "required" or not isinstance(text, str) or len(text) > NAME_MAX_CHARS:
        return problem
    try:
        reading = read_names(None, fold_name(text))
    except NamesMissing:
        return problem
    if reading.match not in {Match.EXACT, Match.ALIAS}:  # "Logan" holds no brand
        return problem
    return FieldProblem(problem.pointer, "names-in-one", field=name, value=text)


def _warnings(loaded: LoadedFields, body: Mapping[str, Any], pointer: str) -> list[dict[str, Any]]:
    """Members that were ignored or converted: the first `MAX_WARNINGS`, and how many more.

    Their number is bounded because they are sent to the worker and back with the car.
    """
    warnings, more = _unknown_warnings(
        loaded.unknown, body, pointer, most=MAX_WARNINGS - len(loaded.remarks)
    )
    # In the order of the fields, whatever the order of the members.
    for name, code in sorted(loaded.remarks, key=lambda remark: _FIELD_ORDER[remark[0]]):
        warning = {"pointer": f"{pointer}/{name}", "code": code}
        warnings.append(
            warning | {"read_as": str(loaded.given[name])} if code == MISSPELT else warning
        )
    return warnings + more


def unknown_member_warnings(members: Collection[str], pointer: str) -> list[dict[str, Any]]:
    """The warnings about the unknown members of a car whose values need no remark.

    Args:
        members: the names of all of its members, in their order.
        pointer: JSON pointer of the car.
    """
    unknown = [name for name in members if name not in CAR_FIELDS]
    warnings, more = _unknown_warnings(unknown, members, pointer, most=MAX_WARNINGS)
    return warnings + more


def _unknown_warnings(
    unknown: Sequence[str], members: Collection[str], pointer: str, *, most: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Warnings about the first unknown members, and the one that says how many more there are."""
    named = unknown[: max(most, 0)]
    warnings = [
        _unknown_warning(member_pointer(pointer, name), named_field(name), members)
        for name in named
    ]
    more = len(unknown) - len(named)
    if not more:
        return warnings, []
    return warnings, [{"pointer": pointer, "code": "more-unknown-fields", "count": more}]


_FIELD_ORDER = {name: place for place, name in enumerate(CAR_FIELDS)}


def missing_field_warnings(names: Iterable[str], pointer: str) -> list[dict[str, Any]]:
    """Fields without a value that would make the estimate much more certain.

    Args:
        names: those of `USUALLY_STATED` that the car lacks.
        pointer: JSON pointer of the car.
    """
    return [{"pointer": f"{pointer}/{name}", "code": "missing-field"} for name in names]


def _unknown_warning(pointer: str, meant: str | None, members: Collection[str]) -> dict[str, Any]:
    """The warning about an unknown member, with the field that it may mean if that is missing."""
    if meant is None or meant in members:
        return {"pointer": pointer, "code": "unknown-field"}
    return {"pointer": pointer, "code": "misnamed-field", "name": meant}


def mileage_warnings(code: str | None, pointer: str) -> list[dict[str, Any]]:
    """The warning for a mileage that is possible but unlikely, by its code."""
    return [] if code is None else [{"pointer": f"{pointer}/km_driven", "code": code}]


def this_year() -> int:
    """The year by which mileages are judged."""
    return datetime.now(UTC).year
