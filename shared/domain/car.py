"""A used car as the caller describes it, in one normal form."""

import dataclasses
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self


class Fuel(StrEnum):
    """What the engine burns."""

    PETROL = "Petrol"
    DIESEL = "Diesel"
    HYBRID = "Hybrid"
    ELECTRIC = "Electric"
    LPG = "LPG"
    CNG = "CNG"


class Transmission(StrEnum):
    """The gearbox."""

    MANUAL = "Manual"
    AUTOMATIC = "Automatic"


class Owner(StrEnum):
    """How many owners the car has had."""

    FIRST = "First"
    SECOND = "Second"
    SECOND_OR_MORE = "Second or more"
    THIRD = "Third"
    FOURTH_AND_ABOVE = "Fourth & Above"
    TEST_DRIVE = "Test Drive Car"


class SellerType(StrEnum):
    """Who sells."""

    INDIVIDUAL = "Individual"
    DEALER = "Dealer"
    TRUSTMARK_DEALER = "Trustmark Dealer"


class Condition(StrEnum):
    """The condition of the car, as stated by the seller."""

    NEW = "New"
    EXCELLENT = "Excellent"
    VERY_GOOD = "Very good"
    GOOD = "Good"
    FAIR = "Fair"
    DAMAGED = "Damaged"
    FOR_PARTS = "For parts"


class Origin(StrEnum):
    """How the car came to Morocco."""

    WW_MOROCCO = "WW Morocco"
    """Bought new in Morocco (WW is the temporary plate of a new car)."""
    IMPORTED_NEW = "Imported new"
    CUSTOMS_CLEARED = "Customs cleared"
    NOT_CUSTOMS_CLEARED = "Not customs cleared"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CarFeatures:
    """The features of one car, validated and in normal form.

    Descriptions of a car that differ only in spelling are equal and share one cache entry. Free
    text (`company`, `model`, `edition`, `city`) is folded to lower case
    without accents; numbers are rounded to the precision given below.
    """

    company: str
    """Brand, folded: `mercedes benz`."""
    model: str
    """Model, folded: `c class`."""
    year: int
    """Year of first registration."""
    fuel: Fuel | None = None
    transmission: Transmission | None = None
    km_driven: int | None = None
    """Odometer, kilometres."""
    edition: str | None = None
    """Trim or version, folded."""
    owner: Owner | None = None
    seller_type: SellerType | None = None
    mileage_mpg: float | None = None
    """Fuel economy, miles per gallon, one decimal."""
    engine_cc: float | None = None
    """Displacement, cubic centimetres, one decimal."""
    max_power_bhp: float | None = None
    """Power, brake horse power, one decimal."""
    torque_nm: float | None = None
    """Torque, newton metres, one decimal."""
    fiscal_power_cv: int | None = None
    """Moroccan fiscal power, chevaux fiscaux."""
    city: str | None = None
    """City of sale, folded."""
    condition: Condition | None = None
    origin: Origin | None = None
    doors: int | None = None

    def to_wire(self) -> list[Any]:
        """The values in field order, JSON and msgpack ready; the inverse of `from_wire`."""
        return list(_values_of(self))

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild the car from `to_wire`'s list; plain strings become the enums again.

        Fields that a newer version has appended are ignored; an older one may have fewer.

        Raises:
            ValueError: a category has a value that this version does not know.
        """
        given = dict(zip(FIELD_NAMES, values, strict=False))
        for name, enum in CATEGORIES.items():
            if given.get(name) is not None:
                given[name] = enum(given[name])
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """The fields that are known, by name."""
        values = zip(FIELD_NAMES, _values_of(self), strict=True)
        return {name: value for name, value in values if value is not None}

    def canonical(self) -> str:
        """The same text for equal cars, for the cache key (`shared.redis.keys.estimate`)."""
        return "\x1f".join("" if value is None else str(value) for value in self.to_wire())


FIELD_NAMES: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(CarFeatures))
"""The car's fields in the order of the wire form."""

_values_of = attrgetter(*FIELD_NAMES)
"""The values of all fields at once: faster than one by one."""

REQUIRED_FIELDS: tuple[str, ...] = tuple(
    field.name for field in dataclasses.fields(CarFeatures) if field.default is dataclasses.MISSING
)

CATEGORIES: dict[str, type[StrEnum]] = {
    "fuel": Fuel,
    "transmission": Transmission,
    "owner": Owner,
    "seller_type": SellerType,
    "condition": Condition,
    "origin": Origin,
}
"""The fields with a closed set of values."""


MAX_KM_PER_YEAR = 100_000
"""More than a taxi drives in two shifts."""
MIN_KM_PER_YEAR = 2_000
"""Fewer are usually meant as thousands: "150" for 150,000."""
NEW_CAR_MAX_AGE_YEARS = 3
"""Cars up to this age may have any low mileage."""
KM_HIGH, KM_LOW = "km-high", "km-low"
"""Codes of unusual mileages."""


USUALLY_STATED = ("fuel", "transmission", "km_driven")
"""Optional fields without which the estimate is much less certain: a warning names each."""


def mileage_warning_code(*, year: int, km_driven: int | None, this_year: int) -> str | None:
    """The code of the warning for an unusual mileage; None for a usual or missing one.

    Args:
        year: of first registration.
        km_driven: kilometres.
        this_year: the current year.
    """
    if km_driven is None:
        return None
    age = max(this_year - year, 0)
    if km_driven > MAX_KM_PER_YEAR * (age + 1):
        return KM_HIGH
    if km_driven < MIN_KM_PER_YEAR * (age - NEW_CAR_MAX_AGE_YEARS):
        return KM_LOW
    return None
