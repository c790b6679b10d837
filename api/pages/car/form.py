"""What the page shows of the form: every field with its value, error and choices."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api.pages.car.reading import UNITS
from api.pages.typography import format_number
from shared.domain.errors import FieldProblem
from shared.domain.valuation import CarRequest
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import Category
from shared.fields.kinds.number import Number
from shared.fields.spellings import FRENCH_CHOICES
from shared.messages.names import format_city, format_name
from shared.messages.texts import describe
from shared.vehicles.names import display_names

CAR = ("company", "model", "year", "km_driven", "fuel", "transmission")
ASKING_PRICE = "asking_price_mad"
VERSION = (
    "edition", "engine_cc", "fiscal_power_cv", "max_power_bhp", "torque_nm", "doors",
)  # fmt: skip
HISTORY = ("owner", "condition", "origin", "seller_type", "city")
OMITTED_FIELDS = frozenset({"mileage_mpg"})
"""Miles per gallon is not stated in Moroccan listings."""

PROMPTS = {
    "company": "Indiquez la marque, par exemple Toyota.",
    "model": "Indiquez le modèle, par exemple Corolla.",
    "year": "Indiquez l'année de première mise en circulation, par exemple 2020.",
}
"""Error messages of required fields that are blank."""

HINTS = {
    "year": "Première mise en circulation",
    "km_driven": "Laissez vide si vous ne le savez pas",
    "edition": "Finition ou motorisation, telle que dans l'annonce",
    "fiscal_power_cv": "Sur la carte grise",
}
MIN_GROUPED = 10_000
"""Smaller numbers (years, displacements) have no thousands separator."""

NO_CHOICE = {"fuel": "Je ne sais pas", "transmission": "Je ne sais pas"}
"""The choice of no value, where it is not `NOT_STATED`."""
NOT_STATED = "Non précisé"


def build_form(values: Mapping[str, str], problems: Sequence[FieldProblem] = ()) -> dict[str, Any]:
    """The form with values and errors, in the groups of the page.

    Args:
        values: raw values by field name.
        problems: validation errors; the first one of each field is shown.
    """
    errors: dict[str, str] = {}
    for problem in problems:
        errors.setdefault(problem.pointer.removeprefix("/"), _error(problem))

    def fields(names: Iterable[str]) -> list[dict[str, Any]]:
        return [_field(name, values.get(name, ""), errors.get(name, "")) for name in names]

    car, version, history = fields(CAR), fields(VERSION), fields(HISTORY)
    (asking_price,), details = fields([ASKING_PRICE]), [*version, *history]
    filled = sum(bool(field["value"]) for field in details)
    note = f"({filled} renseigné{'s' if filled > 1 else ''})"
    return {
        "car": car,
        "asking_price": asking_price,
        "version": version,
        "history": history,
        "errors": [field for field in (*car, asking_price, *details) if field["error"]],
        "details_open": any(field["error"] for field in details),
        "details_note": note if filled else "pour une estimation plus fine",
    }


def example_values() -> dict[str, str]:
    """The values of the example car."""
    shown = (*CAR, "engine_cc", "max_power_bhp", "owner", ASKING_PRICE)
    return {name: _format_value(CAR_FIELDS[name].example) for name in shown}


def form_values(request: CarRequest) -> dict[str, str]:
    """The form values that yield a request; brand and model as they were given."""
    car = request.car.to_dict() | {ASKING_PRICE: request.asking_price_mad}
    company, model = display_names(request.car.company, request.car.model)
    if request.given is not None:
        company, model = format_name(request.given.company), format_name(request.given.model)
    names = {"company": company, "model": model}
    shown = {name: _format_input(name, value) for name, value in car.items() if value is not None}
    return shown | names


def _field(name: str, value: str, error: str) -> dict[str, Any]:
    definition = CAR_FIELDS[name]
    choices, selected, keyboard = [], None, ""
    if isinstance(definition, Category):
        choices = definition.choices
        selected = definition.member(value) or definition.member_of_slip(value)
    elif isinstance(definition, Number):
        keyboard = "decimal" if definition.decimals else "numeric"
    texts = {"hint": HINTS.get(name, ""), "error": error}
    return texts | {
        "name": name,
        "label": definition.label_fr,
        "required": definition.required,
        "value": value,
        "unit": UNITS.get(name, definition.unit),
        "keyboard": keyboard,
        "described_by": " ".join(f"{name}-{kind}" for kind, text in texts.items() if text),
        "no_choice": NO_CHOICE.get(name, NOT_STATED),
        # Without choices it is a text field.
        "choices": [
            {"value": one, "label": FRENCH_CHOICES[one], "selected": one == selected}
            for one in choices
        ],
    }


def _error(problem: FieldProblem) -> str:
    name = problem.pointer.removeprefix("/")
    if problem.code == "required" and name in PROMPTS:
        return PROMPTS[name]
    return describe(problem, "fr")


def _format_input(name: str, value: Any) -> str:
    return format_city(value) if name == "city" else _format_value(value)


def _format_value(value: Any) -> str:
    """A value in French notation."""
    if isinstance(value, float) and not value.is_integer():
        return str(value).replace(".", ",")
    if isinstance(value, int | float):
        return format_number(value) if value >= MIN_GROUPED else str(int(value))
    return str(value)
