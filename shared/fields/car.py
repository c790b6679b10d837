"""The car's fields: the one definition for JSON body, CSV column, form field and OpenAPI."""

from marshmallow import EXCLUDE, Schema

from shared.domain.car import (
    Condition,
    Fuel,
    Origin,
    Owner,
    SellerType,
    Transmission,
)
from shared.domain.names import ARABIC_BRANDS, ARABIC_CITIES, ARABIC_MODELS
from shared.fields.dates import MIN_YEAR
from shared.fields.kinds.category import Category
from shared.fields.kinds.number import Number, Price, Year, next_year
from shared.fields.kinds.text import CarField, FoldedText
from shared.fields.spellings import (
    CONDITION_PHRASES,
    CONDITION_SPELLINGS,
    FUEL_PHRASES,
    FUEL_SPELLINGS,
    ORIGIN_PHRASES,
    ORIGIN_SPELLINGS,
    OWNER_SPELLINGS,
    SELLER_SPELLINGS,
    TRANSMISSION_PHRASES,
    TRANSMISSION_SPELLINGS,
)
from shared.i18n.catalogue import mark_in_context


class CarSchema(Schema):
    """A car. Unknown fields are accepted and reported, not used."""

    class Meta:
        unknown = EXCLUDE

    company = FoldedText(
        required=True,
        label=mark_in_context("field", "Brand"),
        example="Toyota",
        translations=ARABIC_BRANDS,
        aliases=("marque", "brand", "make", "constructeur", "fabricant"),
    )
    model = FoldedText(
        required=True,
        label=mark_in_context("field", "Model"),
        example="Corolla",
        is_name=True,
        takes_numbers=True,
        translations=ARABIC_MODELS,
        aliases=("modele", "car model"),
    )
    year = Year(
        required=True,
        label=mark_in_context("field", "Year of first registration"),
        example=2020,
        minimum=MIN_YEAR,
        maximum=next_year,
        whole=True,
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
        label=mark_in_context("field", "Fuel"),
        example="Petrol",
        enum=Fuel,
        spellings=FUEL_SPELLINGS,
        phrases=FUEL_PHRASES,
        corrects=True,
        aliases=("carburant", "energie", "type de carburant", "fuel type", "motorisation"),
    )
    transmission = Category(
        label=mark_in_context("field", "Gearbox"),
        example="Manual",
        enum=Transmission,
        spellings=TRANSMISSION_SPELLINGS,
        phrases=TRANSMISSION_PHRASES,
        corrects=True,
        aliases=(
            "boite",
            "boite de vitesses",
            "boite a vitesses",
            "boite vitesse",
            "bv",
            "gearbox",
        ),
    )
    km_driven = Number(
        label=mark_in_context("field", "Odometer"),
        example=25000,
        unit="km",
        minimum=0,
        maximum=2_000_000,
        ranges=True,
        decimals_from=1_000,
        aliases=("kilometrage", "km", "kms", "kilometres", "mileage km", "odometer"),
    )
    edition = FoldedText(
        label=mark_in_context("field", "Edition or trim"),
        example="1.6 VVT-i",
        max_length=120,
        takes_numbers=True,
        aliases=("version", "finition", "trim", "variant"),
    )
    owner = Category(
        label=mark_in_context("field", "Owner"),
        example="First",
        enum=Owner,
        spellings=OWNER_SPELLINGS,
        aliases=("main", "premiere main", "proprietaire", "nombre de mains", "owner type"),
    )
    seller_type = Category(
        label=mark_in_context("field", "Seller"),
        example="Individual",
        enum=SellerType,
        spellings=SELLER_SPELLINGS,
        aliases=("vendeur", "type de vendeur", "seller"),
    )
    mileage_mpg = Number(  # fuel economy; the odometer is `km_driven`
        label=mark_in_context("field", "Fuel economy"),
        example=40.0,
        unit="mpg",
        minimum=1,
        maximum=400,
        decimals=1,
        aliases=("mpg", "fuel economy"),
    )
    engine_cc = Number(
        label=mark_in_context("field", "Displacement"),
        example=1600,
        unit="cc",
        minimum=50,
        maximum=10_000,
        decimals=1,
        litres=True,
        aliases=("cylindree", "engine", "engine size", "cc", "displacement"),
    )
    max_power_bhp = Number(
        label=mark_in_context("field", "Power"),
        example=120,
        unit="bhp",
        minimum=1,
        maximum=2_000,
        decimals=1,
        at_speed=True,
        aliases=("puissance", "puissance ch", "max power", "power", "bhp"),
    )
    torque_nm = Number(
        label=mark_in_context("field", "Torque"),
        example=160,
        unit="Nm",
        minimum=1,
        maximum=3_000,
        decimals=1,
        at_speed=True,
        aliases=("couple", "torque"),
    )
    fiscal_power_cv = Number(
        label=mark_in_context("field", "Fiscal power"),
        example=7,
        unit="CV",
        minimum=1,
        maximum=100,
        whole=True,
        open_ranges=True,
        aliases=("puissance fiscale", "cv", "chevaux fiscaux", "fiscal power"),
    )
    city = FoldedText(
        label=mark_in_context("field", "City"),
        example="Casablanca",
        translations=ARABIC_CITIES,
        aliases=("ville", "localite"),
    )
    condition = Category(
        label=mark_in_context("field", "Condition"),
        example="Excellent",
        enum=Condition,
        unpriced=frozenset({Condition.FOR_PARTS}),
        spellings=CONDITION_SPELLINGS,
        phrases=CONDITION_PHRASES,
        aliases=("etat", "etat du vehicule"),
    )
    origin = Category(
        label=mark_in_context("field", "Origin"),
        example="WW Morocco",
        enum=Origin,
        spellings=ORIGIN_SPELLINGS,
        phrases=ORIGIN_PHRASES,
        aliases=("origine", "provenance"),
    )
    doors = Number(
        label=mark_in_context("field", "Doors"),
        example=5,
        minimum=1,
        maximum=9,
        whole=True,
        open_ranges=True,
        aliases=("portes", "nombre de portes"),
    )


class CarRequestSchema(CarSchema):
    """A car, and optionally the price asked for it."""

    asking_price_mad = Price(
        label=mark_in_context("field", "Asking price"),
        example=145000,
        unit="MAD",
        minimum=500,
        maximum=100_000_000,
        decimals=2,
        thousands=True,
        aliases=("prix", "prix demande", "asking price", "price", "prix dh", "price mad"),
    )


CAR_REQUEST_SCHEMA = CarRequestSchema()
CAR_FIELDS: dict[str, CarField] = {
    name: field for name, field in CAR_REQUEST_SCHEMA.fields.items() if isinstance(field, CarField)
}
"""Every field of a request for a valuation, by name, in the order of the definition."""
