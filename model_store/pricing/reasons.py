"""Which fields of a car can be reasons for its price: those with a value that training has seen."""

from collections.abc import Iterator

from data.hedonic.model import VEHICLE
from data.hedonic.ordinal_encoder import KEYS, CodedCars
from data.vehicles.names import BRAND_CLASSES
from shared.domain.car import FIELD_NAMES, CarFeatures

_CODED_FIELDS = {
    name: KEYS.index(name)
    for name in ("fuel", "transmission", "owner", "seller_type", "condition", "origin", "city")
} | {"company": KEYS.index("company"), "model": KEYS.index(VEHICLE)}
"""Place of the code of each field of words; code 0 is a missing value or one not seen."""


def known_fields(car: CarFeatures, coded: CodedCars) -> frozenset[str]:
    """The fields that are stated with a value that the training listings have.

    Another value is priced as if it were not stated: a damaged car must not read that its condition
    raises the price. A brand that is not in the data is known by its class, if it has one.

    Args:
        car: the car.
        coded: the same as codes, alone.
    """
    return frozenset(_known_fields(car, coded))


def _known_fields(car: CarFeatures, coded: CodedCars) -> Iterator[str]:
    for name in FIELD_NAMES:
        if getattr(car, name) is None:
            continue
        place = _CODED_FIELDS.get(name)
        is_seen = place is None or coded.codes[0, place] != 0
        if is_seen or (name == "company" and car.company in BRAND_CLASSES):
            yield name
