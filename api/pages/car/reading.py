"""What the page shows of how a car was understood: names, stated facts, other cars meant."""

from collections.abc import Mapping
from typing import Any

from api.pages.language import gettext as _
from api.pages.language import page_language, page_url
from api.pages.typography import (
    NO_BREAK_SPACE,
    format_number,
    join_words,
)
from shared.domain.car import CATEGORIES, USUALLY_STATED, CarFeatures
from shared.domain.reading import Match, VehicleName
from shared.domain.valuation import CarRequest, Estimate
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark
from shared.messages.names import format_city, format_name
from shared.messages.texts import choice_name
from shared.messages.units import unit_name
from shared.vehicles.names import display_names

_NAMES = ("company", "model")
_MISSING = {
    "fuel": mark("the fuel"),
    "transmission": mark("the gearbox"),
    "km_driven": mark("the mileage"),
}
NAME_WARNINGS = frozenset({"name-corrected", "name-ambiguous"})
"""Warnings that the page shows with the names instead."""


def build_reading(
    request: CarRequest, estimate: Estimate, values: Mapping[str, str]
) -> dict[str, Any]:
    """How brand and model were read, and links to the estimates of other cars.

    Args:
        request: the car and how its names were read.
        estimate: of the car.
        values: raw form values; the links keep all but brand and model.
    """
    match = request.match_with(estimate)
    near = () if match is Match.EXACT else request.suggestions
    return {
        "match": str(match),
        "text": _describe_match(request, match, values, model_known=estimate.model_known),
        "is_certain": match in {Match.EXACT, Match.ALIAS},
        "suggestions": [_suggestion(one, request.car.company, values) for one in near],
    }


def car_name(request: CarRequest, estimate: Estimate, values: Mapping[str, str]) -> str:
    """Brand, model and year: unknown names as typed, all others in their usual spelling."""
    company, model = display_names(request.car.company, request.car.model)
    if request.match_with(estimate) is Match.UNKNOWN:
        company = values.get("company", "").strip() or company
        model = values.get("model", "").strip() or model
    return f"{company} {model} {request.car.year}"


def main_facts(car: CarFeatures) -> str:
    """Fuel, gearbox and kilometres, also if they are not stated."""
    fuel = _("Fuel not stated") if car.fuel is None else format_value("fuel", car.fuel)
    gearbox = _("Gearbox not stated")
    if car.transmission is not None:
        gearbox = _("Gearbox: {value}").format(value=_lower("transmission", car.transmission))
    kilometres = _("Mileage not stated")
    if car.km_driven is not None:
        kilometres = format_value("km_driven", car.km_driven)
    return f"{fuel} · {gearbox} · {kilometres}"


def other_facts(car: CarFeatures) -> str:
    """The other fields that are known, as they were read; empty if there are none."""
    left_out = {*_NAMES, "year", *USUALLY_STATED}
    return " · ".join(
        _("{label}: {value}").format(
            label=CAR_FIELDS[name].label(page_language()), value=format_value(name, value)
        )
        for name, value in car.to_dict().items()
        if name not in left_out
    )


def missing_fields(request: CarRequest) -> str:
    """The sentence that names the usual fields without a value; empty if all are stated."""
    missing = [_(_MISSING[name]) for name in USUALLY_STATED if getattr(request.car, name) is None]
    if not missing:
        return ""
    return _(
        "Without {fields}, the price is an average of what is usual for this car, and less "
        "certain. Complete the form for a better price."
    ).format(fields=join_words(missing))


def format_value(name: str, value: str | float) -> str:
    """The value of a field in the language of the page, with its unit."""
    if name in CATEGORIES:
        return choice_name(str(value), page_language())
    if isinstance(value, str):
        return format_city(value) if name == "city" else format_name(value)
    if name == "year":
        return str(value)
    decimals = 0 if float(value).is_integer() else 1
    return f"{format_number(value, decimals)}{NO_BREAK_SPACE}{field_unit(name)}".strip()


def field_unit(name: str) -> str:
    """The unit of a field in the language of the page; empty if it has none."""
    unit = CAR_FIELDS[name].unit
    return unit_name(unit, page_language()) if unit else ""


def _lower(name: str, value: str) -> str:
    text = format_value(name, value)
    return text[:1].lower() + text[1:]


def _describe_match(
    request: CarRequest, match: Match, values: Mapping[str, str], *, model_known: bool
) -> str:
    read = " ".join(display_names(request.car.company, request.car.model))
    typed = " ".join(filter(None, (values.get(name, "").strip() for name in _NAMES)))
    if match is Match.ALIAS:
        text = _("Read as {read}.")
    elif match is Match.CORRECTED:
        text = _("Read as {read} instead of “{typed}”.")
    elif match is Match.AMBIGUOUS and model_known:
        text = _(
            "Uncertain model: “{typed}” is valued as {read}; the rest of the name is not "
            "understood."
        )
    elif match is Match.AMBIGUOUS:
        text = _(
            "Uncertain model: “{typed}” can mean several cars. Nothing is assumed, and the range "
            "is wider."
        )
    else:
        return ""
    return text.format(read=read, typed=typed)


def _suggestion(one: VehicleName, company: str, values: Mapping[str, str]) -> dict[str, str]:
    brand, model = display_names(one.company, one.model)
    car = {name: value for name, value in values.items() if name in CAR_FIELDS}
    car |= {"company": brand, "model": model}
    return {
        "name": model if one.company == company else f"{brand} {model}",
        "address": page_url("/", **car),
    }
