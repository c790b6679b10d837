"""View model of the form: every field with its value, error and choices."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api.pages.french import format_name, format_number
from shared.domain.car import CarFeatures
from shared.domain.errors import FieldProblem
from shared.domain.valuation import CarRequest
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds import CarField, Category, Number
from shared.fields.spellings import FRENCH_CHOICES
from shared.messages.texts import describe

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
    "km_driven": "Indiquez le kilométrage affiché au compteur, par exemple 25000.",
    "fuel": "Choisissez le carburant.",
    "transmission": "Choisissez la boîte de vitesses.",
}
"""Error messages of required fields that are blank."""

HINTS = {
    "year": "Première mise en circulation",
    "edition": "Finition ou motorisation, telle que dans l'annonce",
    "fiscal_power_cv": "Sur la carte grise",
}
MIN_GROUPED = 10_000
"""Smaller numbers (years, displacements) have no thousands separator."""

UNITS = {"max_power_bhp": "ch", "engine_cc": "cm³"}
"""Units with another name in French."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """An option of a select field."""

    value: str
    label: str
    selected: bool


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FormField:
    """A field of the form."""

    name: str
    label: str
    required: bool
    value: str
    unit: str
    numeric: str
    """`inputmode`: `numeric`, `decimal` or empty for text."""
    hint: str
    error: str
    choices: tuple[Choice, ...]
    """Options of a select field; empty: a text field."""

    @property
    def described_by(self) -> str:
        """Ids of the texts that describe the field, for `aria-describedby`."""
        return " ".join(f"{self.name}-{kind}" for kind in ("hint", "error") if getattr(self, kind))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """The form, in the groups of the page."""

    car: tuple[FormField, ...]
    asking_price: FormField
    version: tuple[FormField, ...]
    history: tuple[FormField, ...]

    @property
    def errors(self) -> list[FormField]:
        """The fields with an error, in the order of the page."""
        fields = (*self.car, self.asking_price, *self.version, *self.history)
        return [field for field in fields if field.error]

    @property
    def details_open(self) -> bool:
        """Whether the optional details are unfolded, because one of them has an error."""
        return any(field.error for field in (*self.version, *self.history))

    @property
    def details_note(self) -> str:
        """The text beside the heading of the optional details."""
        filled = sum(bool(field.value) for field in (*self.version, *self.history))
        if not filled:
            return "pour une estimation plus fine"
        return f"({filled} renseigné{'s' if filled > 1 else ''})"


def build_form(values: Mapping[str, str], problems: Sequence[FieldProblem] = ()) -> Form:
    """The form with values and errors.

    Args:
        values: raw values by field name.
        problems: validation errors; the first one of each field is shown.
    """
    errors: dict[str, str] = {}
    for problem in problems:
        errors.setdefault(problem.pointer.removeprefix("/"), _error(problem))

    def fields(names: Iterable[str]) -> tuple[FormField, ...]:
        return tuple(_field(name, values.get(name, ""), errors.get(name, "")) for name in names)

    return Form(
        car=fields(CAR),
        asking_price=fields([ASKING_PRICE])[0],
        version=fields(VERSION),
        history=fields(HISTORY),
    )


def example_values() -> dict[str, str]:
    """The values of the example car."""
    shown = (*CAR, "engine_cc", "max_power_bhp", "owner", ASKING_PRICE)
    return {name: _format_value(CAR_FIELDS[name].example) for name in shown}


def form_values(request: CarRequest) -> dict[str, str]:
    """The form values that yield a request."""
    car = request.car.to_dict() | {ASKING_PRICE: request.asking_price_mad}
    return {name: _format_input(name, value) for name, value in car.items() if value is not None}


def car_name(car: CarFeatures, values: Mapping[str, str]) -> str:
    """Brand, model and year: as typed, or else in the usual spelling."""
    brand = values.get("company", "").strip() or format_name(car.company)
    model = values.get("model", "").strip() or format_name(car.model)
    return f"{brand} {model} {car.year}"


def _field(name: str, value: str, error: str) -> FormField:
    definition = CAR_FIELDS[name]
    return FormField(
        name=name,
        label=definition.label_fr,
        required=definition.required,
        value=value,
        unit=UNITS.get(name, definition.unit),
        numeric=_keyboard(definition),
        hint=HINTS.get(name, ""),
        error=error,
        choices=_choices(definition, value),
    )


def _choices(definition: CarField, value: str) -> tuple[Choice, ...]:
    if not isinstance(definition, Category):
        return ()
    selected = definition.member(value)
    return tuple(
        Choice(value=choice, label=FRENCH_CHOICES[choice], selected=choice == selected)
        for choice in definition.choices
    )


def _keyboard(definition: CarField) -> str:
    if not isinstance(definition, Number):
        return ""
    return "decimal" if definition.decimals else "numeric"


def _error(problem: FieldProblem) -> str:
    name = problem.pointer.removeprefix("/")
    if problem.code == "required" and name in PROMPTS:
        return PROMPTS[name]
    return describe(problem, "fr")


def _format_input(name: str, value: Any) -> str:
    return format_name(value) if name in {"company", "model", "city"} else _format_value(value)


def _format_value(value: Any) -> str:
    """A value in French notation."""
    if isinstance(value, float) and not value.is_integer():
        return str(value).replace(".", ",")
    if isinstance(value, int | float):
        return format_number(value) if value >= MIN_GROUPED else str(int(value))
    return str(value)
