"""The layouts of listings files, recognised by their column headers."""

import dataclasses
from collections.abc import Mapping, Sequence

from data.listings import cells
from data.listings.table import LISTING_DATE, PRICE, PRICE_SUSPECT, SOURCE
from shared.domain.names import fold
from shared.domain.table import Dialect
from shared.fields.car import CAR_FIELDS
from shared.fields.prices import DIRHAM
from shared.tabular.column_names import header_key

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
        currency: code of the currency of the price column.
    """

    name: str
    columns: Mapping[str, str]
    signature: frozenset[str] = frozenset()
    cleaners: Mapping[str, cells.CellCleaner] = dataclasses.field(default_factory=dict)
    mad_per_unit: float = 1.0
    currency: str = DIRHAM
    is_catalogued: bool = True
    """Whether names are read by the catalogue."""

    def fits(self, headers: Sequence[str]) -> bool:
        """Whether a file with these folded headers has this layout; a batch's result has none."""
        if not self.signature:
            return True
        return self.signature.issubset(headers) and not _OWN_ESTIMATES.issubset(headers)


_CANONICAL = {fold(name): name for name in CAR_FIELDS if name != "asking_price_mad"}
_LISTING = {fold(name): name for name in (PRICE, LISTING_DATE, PRICE_SUSPECT, SOURCE)}
_DATE_HEADERS = (
    "date", "date annonce", "date de l annonce", "date de publication", "date publication",
    "publication date", "publie le", "posted at", "posted on", "listing date", "date posted",
    "posted date", "date of listing", "listed at", "listed on", "date mise en ligne",
    "date de mise en ligne", "mise en ligne", "date de parution", "mois annonce", "mois",
    "mois de l annonce", "month", "listing month", "created at", "date created", "creation date",
    "date de creation", "date de collecte", "date collecte", "scraped at", "scrape date",
    "crawl date", "first seen", "date ajout", "ad date", "anzeigendatum", "inseriert am",
    "fecha publicacion", "fecha anuncio", "data annuncio", "تاريخ النشر", "تاريخ الإعلان",
)  # fmt: skip
_RANGE_CLEANERS = {"km_driven": cells.range_midpoint, "year": cells.first_year}
_MARKETPLACE_CELLS: Mapping[str, cells.CellCleaner] = {
    **_RANGE_CLEANERS,
    "fiscal_power_cv": cells.first_number,
    "doors": cells.first_number,
}

_PLACE_KEYS = frozenset(map(header_key, ("localisation", "lieu", "adresse")))
"""Names of the city's column that mean it in listings, where a place is a city or its district."""
_DATE_KEYS = frozenset(map(header_key, _DATE_HEADERS))
_OWN_ESTIMATES = frozenset({"low mad", "high mad"})
"""Columns of a result: its price_mad is an estimate."""

DETECTED = ListingFormat(name="marketplace-export", columns={}, cleaners=_MARKETPLACE_CELLS)
"""Any other file: its columns are found as those of a batch are."""

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
        currency="INR",
        is_catalogued=False,
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
        currency="INR",
        is_catalogued=False,
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
    DETECTED,
)


def detect_format(headers: Sequence[str]) -> ListingFormat:
    """The layout of a file with these headers; the last format matches every file."""
    folded = [fold(header) for header in headers]
    return next(layout for layout in FORMATS if layout.fits(folded))


def find_listing_columns(headers: Sequence[str], dialect: Dialect) -> dict[str, int]:
    """Index of the columns that only listings have: date of listing, source, suspicion, place.

    Args:
        headers: of the file.
        dialect: of the file: its columns of the car are none of these.
    """
    taken = {*dialect.column_indexes.values(), dialect.asking_index}
    found: dict[str, int] = {}
    for index, header in enumerate(headers):
        name = _LISTING.get(fold(header))
        if name is None and header_key(header) in _DATE_KEYS:
            name = LISTING_DATE
        if name is None and header_key(header) in _PLACE_KEYS and "city" not in dialect.columns:
            name = "city"
        if name is not None and name != PRICE and index not in taken:
            found.setdefault(name, index)
    return found
