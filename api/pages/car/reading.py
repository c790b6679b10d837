"""What the page shows of how a car was understood: names, stated facts, other cars meant."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from api.pages.typography import (
    NO_BREAK_SPACE,
    format_number,
    join_words,
)
from shared.domain.car import CATEGORIES, USUALLY_STATED, CarFeatures
from shared.domain.reading import Match, VehicleName
from shared.domain.valuation import CarRequest, Estimate
from shared.fields.car import CAR_FIELDS
from shared.fields.spellings import FRENCH_CHOICES
from shared.messages.names import format_city, format_name
from shared.vehicles.names import display_names

UNITS = {"max_power_bhp": "ch", "engine_cc": "cm³"}
"""Units with another name in French."""
_NAMES = ("company", "model")
_ARTICLES = {
    "fuel": "le carburant",
    "transmission": "la boîte de vitesses",
    "km_driven": "le kilométrage",
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
    fuel = "Carburant non indiqué" if car.fuel is None else FRENCH_CHOICES[car.fuel]
    gearbox = (
        "Boîte non indiquée"
        if car.transmission is None
        else f"Boîte {FRENCH_CHOICES[car.transmission].lower()}"
    )
    kilometres = (
        "Kilométrage non indiqué"
        if car.km_driven is None
        else f"{format_number(car.km_driven)}{NO_BREAK_SPACE}km"
    )
    return f"{fuel} · {gearbox} · {kilometres}"


def other_facts(car: CarFeatures) -> str:
    """The other fields that are known, as they were read; empty if there are none."""
    left_out = {*_NAMES, "year", *USUALLY_STATED}
    return " · ".join(
        f"{CAR_FIELDS[name].label_fr}{NO_BREAK_SPACE}: {format_value(name, value)}"
        for name, value in car.to_dict().items()
        if name not in left_out
    )


def missing_fields(request: CarRequest) -> str:
    """The sentence that names the usual fields without a value; empty if all are stated."""
    missing = [_ARTICLES[name] for name in USUALLY_STATED if getattr(request.car, name) is None]
    if not missing:
        return ""
    return (
        f"Sans {join_words(missing)}, le prix est une moyenne de ce qui est usuel pour cette "
        "voiture, et il est moins sûr. Complétez le formulaire pour un prix plus juste."
    )


def format_value(name: str, value: str | float) -> str:
    """The value of a field in French, with its unit."""
    if name in CATEGORIES:
        return FRENCH_CHOICES.get(str(value), str(value))
    if isinstance(value, str):
        return format_city(value) if name == "city" else format_name(value)
    if name == "year":
        return str(value)
    unit = UNITS.get(name, CAR_FIELDS[name].unit)
    decimals = 0 if float(value).is_integer() else 1
    return f"{format_number(value, decimals)}{NO_BREAK_SPACE}{unit}".strip()


def _describe_match(
    request: CarRequest, match: Match, values: Mapping[str, str], *, model_known: bool
) -> str:
    read = " ".join(display_names(request.car.company, request.car.model))
    typed = " ".join(filter(None, (values.get(name, "").strip() for name in _NAMES)))
    if match is Match.ALIAS:
        return f"Lu comme {read}."
    if match is Match.CORRECTED:
        return f"Lu comme {read} au lieu de « {typed} »."
    if match is Match.AMBIGUOUS and model_known:
        return (
            f"Modèle incertain : « {typed} » est estimé comme {read}, le reste du nom n'est pas "
            "compris."
        )
    if match is Match.AMBIGUOUS:
        return (
            f"Modèle incertain : « {typed} » peut désigner plusieurs voitures. Rien n'est supposé, "
            "et la fourchette est plus large."
        )
    return ""


def _suggestion(one: VehicleName, company: str, values: Mapping[str, str]) -> dict[str, str]:
    brand, model = display_names(one.company, one.model)
    car = {**values, "company": brand, "model": model}
    return {
        "name": model if one.company == company else f"{brand} {model}",
        "address": f"/?{urlencode(car)}",
    }
