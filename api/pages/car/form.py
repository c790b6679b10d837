"""What the page shows of the form: every field with its value, error and choices."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api.pages.car.reading import field_unit
from api.pages.car.suggestions import USUAL_FIELDS, field_options, usual_hints
from api.pages.language import gettext as _
from api.pages.language import ngettext, page_language
from api.pages.typography import format_number
from shared.domain.errors import FieldProblem
from shared.domain.valuation import CarRequest
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import Category
from shared.fields.kinds.number import Number
from shared.i18n.catalogue import mark
from shared.messages.names import format_city, format_name
from shared.messages.texts import choice_name, describe
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
    "company": mark("State the brand, for example Toyota."),
    "model": mark("State the model, for example Corolla."),
    "year": mark("State the year of first registration, for example 2020."),
}
"""Error messages of required fields that are blank."""

HINTS = {
    "year": mark("As the registration card says"),
    "km_driven": mark("Leave it blank if you do not know"),
    "edition": mark("Trim or engine, as the listing says"),
    "fiscal_power_cv": mark("On the registration card"),
}
MIN_GROUPED = 10_000
"""Smaller numbers (years, displacements) have no thousands separator."""

NO_CHOICE = {"fuel": mark("I do not know"), "transmission": mark("I do not know")}
"""The choice of no value, where it is not `NOT_STATED`."""
NOT_STATED = mark("Not stated")


def build_form(values: Mapping[str, str], problems: Sequence[FieldProblem] = ()) -> dict[str, Any]:
    """The form with values and errors, in the groups of the page.

    Args:
        values: raw values by field name.
        problems: validation errors; the first one of each field is shown.
    """
    errors: dict[str, str] = {}
    for problem in problems:
        errors.setdefault(problem.pointer.removeprefix("/"), _error(problem))

    options, usual = field_options(values), usual_hints(values)

    def fields(names: Iterable[str]) -> list[dict[str, Any]]:
        return [
            _field(name, values.get(name, ""), errors.get(name, ""), usual.get(name, ""))
            | {"options": options.get(name, [])}
            for name in names
        ]

    car, version, history = fields(CAR), fields(VERSION), fields(HISTORY)
    (asking_price,), details = fields([ASKING_PRICE]), [*version, *history]
    filled = sum(bool(field["value"]) for field in details)
    note = ngettext("({number} filled in)", "({number} filled in)", filled)
    return {
        "car": car,
        "asking_price": asking_price,
        "version": version,
        "history": history,
        "errors": [field for field in (*car, asking_price, *details) if field["error"]],
        "details_open": any(field["error"] for field in details),
        "details_note": note.format(number=filled) if filled else _("for a more precise estimate"),
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


def _field(name: str, value: str, error: str, usual: str) -> dict[str, Any]:
    definition, language = CAR_FIELDS[name], page_language()
    choices, selected, keyboard = [], None, ""
    if isinstance(definition, Category):
        choices = definition.choices
        selected = definition.member(value) or definition.member_of_slip(value)
    elif isinstance(definition, Number):
        keyboard = "decimal" if definition.decimals else "numeric"
    hint = HINTS.get(name)
    texts = {"hint": _(hint) if hint else "", "usual": usual, "error": error}
    described = {"hint": hint, "usual": name in USUAL_FIELDS, "error": error}
    return texts | {
        "name": name,
        "label": definition.label(language),
        "required": definition.required,
        "value": value,
        "unit": field_unit(name),
        "keyboard": keyboard,
        "has_usual": name in USUAL_FIELDS,
        "described_by": " ".join(
            f"{name}-{kind}" for kind, is_there in described.items() if is_there
        ),
        "no_choice": _(NO_CHOICE.get(name, NOT_STATED)),
        # Without choices it is a text field.
        "choices": [
            {"value": one, "label": choice_name(one, language), "selected": one == selected}
            for one in choices
        ],
    }


def _error(problem: FieldProblem) -> str:
    name = problem.pointer.removeprefix("/")
    if problem.code == "required" and name in PROMPTS:
        return _(PROMPTS[name])
    return describe(problem, page_language())


def _format_input(name: str, value: Any) -> str:
    return format_city(value) if name == "city" else _format_value(value)


def _format_value(value: Any) -> str:
    """A value as the language of the page writes it."""
    if isinstance(value, float) and not value.is_integer():
        return str(value).replace(".", "," if page_language() == "fr" else ".")
    if isinstance(value, int | float):
        return format_number(value) if value >= MIN_GROUPED else str(int(value))
    return str(value)
