"""The car's fields: the one definition behind JSON body, CSV column, form field and OpenAPI."""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError

from shared.domain.brands import canonical_brand
from shared.domain.car import (
    CarFeatures,
    Condition,
    Fuel,
    Origin,
    Owner,
    SellerType,
    Transmission,
)
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.job import CarRequest
from shared.domain.valuation import Extra
from shared.schemas.fields import CarField, Category, FoldedText, Number, next_year
from shared.schemas.quick_load import QuickLoader
from shared.schemas.spellings import (
    CONDITION_SPELLINGS,
    FUEL_SPELLINGS,
    ORIGIN_SPELLINGS,
    OWNER_SPELLINGS,
    SELLER_SPELLINGS,
    TRANSMISSION_SPELLINGS,
)


class Company(FoldedText):
    """A brand, under its canonical name ("VW" is Volkswagen)."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str | None:
        folded = super()._deserialize(value, attr, data, **options)
        return canonical_brand(folded) if folded else None


class CarSchema(Schema):
    """A car. Unknown fields are accepted and reported, not used."""

    class Meta:
        unknown = EXCLUDE

    company = Company(
        required=True,
        label_fr="Marque",
        label_en="Brand",
        example="Toyota",
        aliases=("marque", "brand", "make", "constructeur", "fabricant"),
    )
    model = FoldedText(
        required=True,
        label_fr="Modèle",
        label_en="Model",
        example="Corolla",
        aliases=("modele", "car model"),
    )
    year = Number(
        required=True,
        label_fr="Année",
        label_en="Year of first registration",
        example=2020,
        minimum=1990,
        maximum=next_year,
        whole=True,
        from_date=True,
        aliases=(
            "annee",
            "annee modele",
            "annee de mise en circulation",
            "date de mise en circulation",
            "mise en circulation",
            "model year",
            "an",
        ),
    )
    fuel = Category(
        required=True,
        label_fr="Carburant",
        label_en="Fuel",
        example="Petrol",
        enum=Fuel,
        spellings=FUEL_SPELLINGS,
        aliases=("carburant", "energie", "type de carburant", "fuel type", "motorisation"),
    )
    transmission = Category(
        required=True,
        label_fr="Boîte de vitesses",
        label_en="Gearbox",
        example="Manual",
        enum=Transmission,
        spellings=TRANSMISSION_SPELLINGS,
        aliases=("boite", "boite de vitesses", "boite a vitesses", "boite vitesse", "gearbox"),
    )
    km_driven = Number(
        required=True,
        label_fr="Kilométrage",
        label_en="Odometer",
        example=25000,
        unit="km",
        minimum=0,
        maximum=2_000_000,
        suffixes=("kms", "km"),
        aliases=("kilometrage", "km", "kms", "kilometres", "mileage km", "odometer"),
    )
    edition = FoldedText(
        label_fr="Version",
        label_en="Edition or trim",
        example="1.6 VVT-i",
        max_length=120,
        aliases=("version", "finition", "trim", "variant"),
    )
    owner = Category(
        label_fr="Main",
        label_en="Owner",
        example="First",
        enum=Owner,
        spellings=OWNER_SPELLINGS,
        aliases=("main", "premiere main", "proprietaire", "nombre de mains", "owner type"),
    )
    seller_type = Category(
        label_fr="Vendeur",
        label_en="Seller",
        example="Individual",
        enum=SellerType,
        spellings=SELLER_SPELLINGS,
        aliases=("vendeur", "type de vendeur", "seller"),
    )
    mileage_mpg = Number(
        label_fr="Autonomie par gallon",
        label_en="Fuel economy",
        example=40.0,
        unit="mpg",
        minimum=1,
        maximum=400,
        decimals=1,
        suffixes=("mpg",),
        aliases=("mpg", "fuel economy"),
    )
    engine_cc = Number(
        label_fr="Cylindrée",
        label_en="Displacement",
        example=1600,
        unit="cc",
        minimum=50,
        maximum=10_000,
        decimals=1,
        suffixes=("cm3", "cc"),
        litres=True,
        aliases=("cylindree", "engine", "cc", "displacement"),
    )
    max_power_bhp = Number(
        label_fr="Puissance réelle",
        label_en="Power",
        example=120,
        unit="bhp",
        minimum=1,
        maximum=2_000,
        decimals=1,
        suffixes=("bhp", "ch", "hp"),
        aliases=("puissance", "puissance ch", "max power", "power", "bhp"),
    )
    torque_nm = Number(
        label_fr="Couple",
        label_en="Torque",
        example=160,
        unit="Nm",
        minimum=1,
        maximum=3_000,
        decimals=1,
        suffixes=("nm",),
        aliases=("couple", "torque"),
    )
    fiscal_power_cv = Number(
        label_fr="Puissance fiscale",
        label_en="Fiscal power",
        example=7,
        unit="CV",
        minimum=1,
        maximum=100,
        whole=True,
        suffixes=("cv", "ch"),
        aliases=("puissance fiscale", "cv", "chevaux fiscaux", "fiscal power"),
    )
    city = FoldedText(
        label_fr="Ville",
        label_en="City",
        example="Casablanca",
        aliases=("ville", "localite"),
    )
    condition = Category(
        label_fr="État",
        label_en="Condition",
        example="Excellent",
        enum=Condition,
        spellings=CONDITION_SPELLINGS,
        aliases=("etat", "etat du vehicule"),
    )
    origin = Category(
        label_fr="Origine",
        label_en="Origin",
        example="WW Morocco",
        enum=Origin,
        spellings=ORIGIN_SPELLINGS,
        aliases=("origine", "provenance"),
    )
    doors = Number(
        label_fr="Portes",
        label_en="Doors",
        example=5,
        minimum=1,
        maximum=9,
        whole=True,
        aliases=("portes", "nombre de portes"),
    )


class CarRequestSchema(CarSchema):
    """A car, and optionally the price asked for it."""

    asking_price_mad = Number(
        label_fr="Prix demandé",
        label_en="Asking price",
        example=145000,
        unit="MAD",
        minimum=500,
        maximum=100_000_000,
        decimals=2,
        suffixes=("mad", "dhs", "dh", "درهم"),
        aliases=("prix", "prix demande", "asking price", "price", "prix dh", "price mad"),
    )


CAR_REQUEST_SCHEMA = CarRequestSchema()
CAR_FIELDS: dict[str, CarField] = {
    name: field for name, field in CAR_REQUEST_SCHEMA.fields.items() if isinstance(field, CarField)
}
"""Every field of a request for a valuation, by name, in the order of the definition."""
_QUICK_LOADER = QuickLoader(CAR_FIELDS)

MOST_WARNINGS = 20
WARNING_NAME_MAX_SIGNS = 60
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
        extras: what is asked for besides the price.

    Raises:
        InvalidInput: with one problem per broken rule.
    """
    if not isinstance(body, dict):
        raise InvalidInput([FieldProblem(pointer, "not-an-object")])
    given = _QUICK_LOADER.load(body) or _load(body, pointer)
    asking_price_mad = given.pop("asking_price_mad")
    return CarRequest(
        car=CarFeatures(**given),
        asking_price_mad=asking_price_mad,
        extras=extras,
        warnings=tuple(_warnings(body, pointer)),
    )


def _load(body: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    try:
        given: dict[str, Any] = CAR_REQUEST_SCHEMA.load(body)
    except ValidationError as error:
        raise InvalidInput(_problems(error, body, pointer)) from None
    return given


def _problems(error: ValidationError, body: Mapping[str, Any], pointer: str) -> list[FieldProblem]:
    return [
        FieldProblem(f"{pointer}/{name}", code, field=name, value=body.get(name))
        for name, codes in _messages(error).items()
        for code in codes
    ]


def _messages(error: ValidationError) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = error.normalized_messages()  # type: ignore[no-untyped-call]
    return messages


def _warnings(body: Mapping[str, Any], pointer: str) -> list[dict[str, Any]]:
    """What was not used or read otherwise: the first `MOST_WARNINGS`, and how many more.

    The warnings travel with the car to the worker and back: they must not be as many as the
    members of a body.
    """
    known = [
        {"pointer": f"{pointer}/{name}", "code": "unknown-category"}
        for name, field in _OPTIONAL_CATEGORIES.items()
        if field.is_unknown(body.get(name))
    ]
    known += [
        {"pointer": f"{pointer}/{name}", "code": "litres"}
        for name, field in _LITRES.items()
        if field.is_litres(body.get(name))
    ]
    unknown = [name for name in body if name not in CAR_FIELDS]
    named = unknown[: MOST_WARNINGS - len(known)]
    warnings: list[dict[str, Any]] = [
        {"pointer": f"{pointer}/{escape_pointer(shorten(name))}", "code": "unknown-field"}
        for name in named
    ]
    warnings += known
    if more := len(unknown) - len(named):
        warnings.append({"pointer": pointer, "code": "more-unknown-fields", "count": more})
    return warnings


def shorten(name: str) -> str:
    """The name of a member nobody knows, at most `WARNING_NAME_MAX_SIGNS` signs of it."""
    if len(name) <= WARNING_NAME_MAX_SIGNS:
        return name
    return name[: WARNING_NAME_MAX_SIGNS - 1] + "…"


def escape_pointer(name: str) -> str:
    """A member's name as it stands in a JSON pointer (RFC 6901).

    >>> escape_pointer("a/b~c")
    'a~1b~0c'
    """
    return name.replace("~", "~0").replace("/", "~1")
