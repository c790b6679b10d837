"""Which fields of a car can be reasons for its price: those with a value that training has seen."""

from collections.abc import Collection, Iterator, Mapping

from data.hedonic.model import VEHICLE
from data.hedonic.ordinal_encoder import KEYS, NUMBERS, CodedCars
from data.vehicles.names import BRAND_CLASSES
from shared.domain.car import FIELD_NAMES, USUALLY_STATED, CarFeatures

_CODED_FIELDS = {
    name: KEYS.index(name)
    for name in ("fuel", "transmission", "owner", "seller_type", "condition", "origin", "city")
} | {"company": KEYS.index("company"), "model": KEYS.index(VEHICLE)}
"""Place of the code of each field of words; code 0 is a missing value or one not seen."""
_VEHICLE, _COMPANY = KEYS.index(VEHICLE), KEYS.index("company")
_DETAIL_PLACES = tuple(
    (name, place)
    for name, place in _CODED_FIELDS.items()
    if name not in {"company", "model", *USUALLY_STATED}
)
_DETAIL_NUMBERS = tuple(name for name in NUMBERS if name not in {"year", *USUALLY_STATED})


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


def unpriced_fields(
    car: CarFeatures,
    coded: CodedCars,
    row: int,
    *,
    numeric_effects: Collection[str],
    unmasked: Collection[str],
) -> tuple[str, ...]:
    """The stated fields without which the car has the same price, see `Estimate.unpriced`.

    Fuel and gearbox are not among them: a car that does not state them has another price.

    Args:
        car: the car.
        coded: cars as codes.
        row: of the car in `coded`.
        numeric_effects: see `CarEncoder.numeric_effects`.
        unmasked: see `CarEncoder.unmasked_fields`.
    """
    codes = coded.codes[row].tolist()
    found = [
        name
        for name, place in _DETAIL_PLACES
        if getattr(car, name) is not None and codes[place] == 0 and name not in unmasked
    ]
    found += [
        name
        for name in _DETAIL_NUMBERS
        if getattr(car, name) is not None and name not in numeric_effects
    ]
    if car.edition is not None and row not in coded.words:
        found.append("edition")
    if codes[_VEHICLE] == 0 and codes[_COMPANY] == 0:
        found.append("company")
    return tuple(sorted(found, key=FIELD_NAMES.index)) if found else ()


def unseen_fields(
    car: CarFeatures,
    coded: CodedCars,
    row: int,
    values_by_vehicle: Mapping[str, Collection[tuple[int, int]]],
) -> tuple[str, ...]:
    """Fuel and gearbox if the listings of the car's model lack them, see `Estimate.unseen`.

    Args:
        car: the car.
        coded: cars as codes.
        row: of the car in `coded`.
        values_by_vehicle: see `CarEncoder.values_by_vehicle`.
    """
    codes = coded.codes[row].tolist()
    if codes[_VEHICLE] == 0:
        return ()
    return tuple(
        name
        for name, seen in values_by_vehicle.items()
        if getattr(car, name) is not None and (codes[_VEHICLE], codes[KEYS.index(name)]) not in seen
    )
