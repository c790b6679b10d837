"""Loads the request for a valuation of one car from JSON, with its warnings."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError

from shared.domain.car import CarFeatures, mileage_warning_code
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.valuation import CarRequest, Extra
from shared.fields.car import CAR_FIELDS, CAR_REQUEST_SCHEMA
from shared.fields.kinds import CarField, Category, Number
from shared.fields.shapes import CORE_FIELDS, member_pointer, named_field, shape_problems


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
        self._readers = {name: field.read for name, field in fields.items()}
        self._required = [name for name, field in fields.items() if field.required]

    def load(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The normal form of every field, None for missing ones; None if a rule is broken."""
        given: dict[str, Any] = dict.fromkeys(self._readers)
        try:
            for name, value in body.items():
                if (read := self._readers.get(name)) is not None:
                    given[name] = read(value)
        except ValidationError:
            return None
        for name in self._required:
            if given[name] is None:
                return None
        return given


_QUICK_LOADER = QuickLoader(CAR_FIELDS)

MAX_WARNINGS = 20
_OPTIONAL_CATEGORIES = {
    name: field
    for name, field in CAR_FIELDS.items()
    if isinstance(field, Category) and not field.required
}
_LITRES = {
    name: field for name, field in CAR_FIELDS.items() if isinstance(field, Number) and field.litres
}


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
    given = _QUICK_LOADER.load(body) or _load(body, pointer)
    asking_price_mad = given.pop("asking_price_mad")
    car = CarFeatures(**given)
    return CarRequest(
        car=car,
        asking_price_mad=asking_price_mad,
        extras=extras,
        warnings=(*_warnings(body, pointer), *_plausibility_warnings(car, pointer)),
    )


def _load(body: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    try:
        given: dict[str, Any] = CAR_REQUEST_SCHEMA.load(body)
    except ValidationError as error:
        broken: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
        problems = [
            FieldProblem(f"{pointer}/{name}", code, field=name, value=body.get(name))
            for name, codes in broken.items()
            for code in codes
        ]
        raise InvalidInput(problems) from None
    return given


def _warnings(body: Mapping[str, Any], pointer: str) -> list[dict[str, Any]]:
    """Values that were ignored or converted: the first `MAX_WARNINGS`, and how many more.

    Their number is bounded because they are sent to the worker and back with the car.
    """
    known = [
        {"pointer": f"{pointer}/{name}", "code": "unknown-category"}
        for name, field in _OPTIONAL_CATEGORIES.items()
        if name in body and field.is_unknown(body[name])
    ]
    known += [
        {"pointer": f"{pointer}/{name}", "code": "litres"}
        for name, field in _LITRES.items()
        if name in body and field.is_litres(body[name])
    ]
    unknown = [name for name in body if name not in CAR_FIELDS]
    named = unknown[: MAX_WARNINGS - len(known)]
    warnings: list[dict[str, Any]] = [
        _unknown_warning(member_pointer(pointer, name), named_field(name), body) for name in named
    ]
    warnings += known
    if more := len(unknown) - len(named):
        warnings.append({"pointer": pointer, "code": "more-unknown-fields", "count": more})
    return warnings


def _unknown_warning(pointer: str, meant: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """The warning about an unknown member, with the field that it may mean if that is missing."""
    if meant is None or meant in body:
        return {"pointer": pointer, "code": "unknown-field"}
    return {"pointer": pointer, "code": "misnamed-field", "name": meant}


def _plausibility_warnings(car: CarFeatures, pointer: str) -> list[dict[str, Any]]:
    """Values that are possible but unlikely."""
    code = mileage_warning_code(
        year=car.year, km_driven=car.km_driven, this_year=datetime.now(UTC).year
    )
    return [] if code is None else [{"pointer": f"{pointer}/km_driven", "code": code}]
