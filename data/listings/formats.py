"""The layouts of listings files, recognised by their column headers."""

import dataclasses
from collections.abc import Mapping, Sequence

from data.listings import cells
from data.listings.table import LISTING_DATE, PRICE, PRICE_SUSPECT, SOURCE
from shared.domain.names import by_spelling, fold
from shared.fields.car import CAR_FIELDS

RUPEE_IN_MAD = 0.13
"""Conversion used by the project that published the rupee files; not a current rate."""

NAME = "name"
"""A column with company, model and edition in one text."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ListingFormat:
    """One layout.

    Args:
        name: shown in the load report.
        columns: canonical column (or `NAME`) by the folded header of the file.
        signature: folded headers that must all be present; the first matching format is used.
        cleaners: applied to a cell before the field parses it, by canonical column.
        mad_per_unit: MAD per unit of the price column.
    """

    name: str
    columns: Mapping[str, str]
    signature: frozenset[str] = frozenset()
    cleaners: Mapping[str, cells.CellCleaner] = dataclasses.field(default_factory=dict)
    mad_per_unit: float = 1.0

    def fits(self, headers: Sequence[str]) -> bool:
        """Whether a file with these folded headers has this layout."""
        return self.signature.issubset(headers)


_CANONICAL = {fold(name): name for name in CAR_FIELDS if name != "asking_price_mad"}
_LISTING = {fold(name): name for name in (PRICE, LISTING_DATE, PRICE_SUSPECT, SOURCE)}
PRICE_NAMES = ("price_mad", "prix", "price", "selling_price", "montant")
"""Names of a price column that an error message suggests."""
_PRICE_HEADERS = (
    "prix", "price", "prix dh", "prix mad", "prix dhs", "price mad", "price dh", "prix de vente",
    "prix demande", "prix en dh", "selling price", "asking price", "montant",
)  # fmt: skip
_DATE_HEADERS = (
    "date", "date annonce", "date de l annonce", "date de publication", "date publication",
    "publication date", "publie le", "posted at", "posted on", "listing date",
)  # fmt: skip
_NAME_HEADERS = ("titre", "title", "nom", "name", "titre de l annonce", "annonce", "vehicule")
_MORE_ALIASES = by_spelling(
    {
        "km_driven": "kilometrage km, mileage",
        "transmission": "boite a vitesse, boite de vitesse",
        "fuel": "type carburant",
        "owner": "premier proprietaire, first owner",
        "city": "location, localisation, lieu, adresse",
        "fiscal_power_cv": "fiscal horsepower, puissance fiscale cv",
        "doors": "number of doors, nombre portes, nb portes",
        "year": "year model",
        "condition": "condition du vehicule",
    }
)
_RANGE_CLEANERS = {"km_driven": cells.range_midpoint, "year": cells.first_year}
_MARKETPLACE_CELLS: Mapping[str, cells.CellCleaner] = {
    **_RANGE_CLEANERS,
    "fiscal_power_cv": cells.first_number,
    "doors": cells.first_number,
}

_EXPORT = {
    **dict.fromkeys(_PRICE_HEADERS, PRICE),
    **dict.fromkeys(_DATE_HEADERS, LISTING_DATE),
    **dict.fromkeys(_NAME_HEADERS, NAME),
    **_MORE_ALIASES,
    **{
        alias: name
        for name, field in CAR_FIELDS.items()
        if name != "asking_price_mad"
        for alias in (fold(name), *field.aliases)
    },
    **_LISTING,
}

FORMATS: tuple[ListingFormat, ...] = (
    ListingFormat(
        name="canonical",
        columns={**_CANONICAL, **_LISTING},
        signature=frozenset({"company", "model", "year", fold(PRICE)}),
    ),
    ListingFormat(
        name="cardekho-split",
        columns={**_CANONICAL, "selling price": PRICE},
        signature=frozenset({"company", "model", "edition", "selling price"}),
        mad_per_unit=RUPEE_IN_MAD,
    ),
    ListingFormat(
        name="cardekho-v3",
        columns={
            **_CANONICAL,
            NAME: NAME,
            "selling price": PRICE,
            "mileage": "mileage_mpg",
            "mileage km ltr kg": "mileage_mpg",
            "engine": "engine_cc",
            "max power": "max_power_bhp",
            "torque": "torque_nm",
        },
        signature=frozenset({NAME, "selling price", "km driven", "seller type"}),
        cleaners={
            "mileage_mpg": cells.fuel_economy_mpg,
            "engine_cc": cells.first_number,
            "max_power_bhp": cells.first_number,
            "torque_nm": cells.torque_nm,
        },
        mad_per_unit=RUPEE_IN_MAD,
    ),
    ListingFormat(
        name="mucars-2024",
        columns={
            "brand": "company",
            "model": "model",
            "year": "year",
            "condition": "condition",
            "mileage": "km_driven",
            "gearbox": "transmission",
            "fiscal power": "fiscal_power_cv",
            "fuel": "fuel",
            "number of doors": "doors",
            "origin": "origin",
            "first owner": "owner",
            "location": "city",
            "price": PRICE,
        },
        signature=frozenset({"brand", "mileage", "fiscal power", "first owner", "price"}),
        cleaners={
            **_MARKETPLACE_CELLS,
            "owner": cells.value_mapper({"yes": "First", "no": "Second or more"}),
            "origin": cells.value_mapper(
                {
                    "ww in morocco": "WW Morocco",
                    "customs-cleared car": "Customs cleared",
                    "car not yet customs-cleared": "Not customs cleared",
                }
            ),
        },
    ),
    ListingFormat(name="marketplace-export", columns=_EXPORT, cleaners=_MARKETPLACE_CELLS),
)


def detect_format(headers: Sequence[str]) -> ListingFormat:
    """The layout of a file with these headers; the last format matches every file."""
    folded = [fold(header) for header in headers]
    return next(layout for layout in FORMATS if layout.fits(folded))
