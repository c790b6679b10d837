"""What a field is worth in a car that does not state it: as much as in cars of its kind.

Where nearly every listing states a field, nothing can be learnt from its absence, and "no effect"
would be wrong: a small car of unstated power is not one of 100 bhp.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.car_codes import COLUMN_KEYS, KEYS, NUMBERS, CarOrdinalEncoder, CodedCars
from data.hedonic import SEPARATOR, VEHICLE, FloatArray, HedonicModel
from data.word_effects import EDITION

_VEHICLE, _FUEL, _COMPANY = (KEYS.index(key) for key in (VEHICLE, "fuel", "company"))


class ImputedEffects:
    """`HedonicModel.usual` laid out by the codes of vehicle and fuel, or of the company.

    False if the model has none.
    """

    def __init__(
        self, model: HedonicModel, ordinal_encoder: CarOrdinalEncoder, effect_fields: Sequence[str]
    ) -> None:
        fields = [field for field in effect_fields if field in model.usual]
        self._columns = np.array([effect_fields.index(field) for field in fields], dtype=np.int64)
        self._fuels = ordinal_encoder.sizes["fuel"]
        self._companies_start = ordinal_encoder.sizes[VEHICLE] * self._fuels
        size = self._companies_start + ordinal_encoder.sizes["company"]
        self._values = np.zeros((size, len(fields)))
        for column, field in enumerate(fields):
            cells = model.usual[field]
            values = {key: cell.coefficients[0] for key, cell in cells.items()}
            for key in sorted(values, key=lambda key: len(key.split(SEPARATOR)) if key else 0):
                self._values[self._slots(key, ordinal_encoder), column] = values[key]
        self._fields = tuple(fields)

    def __bool__(self) -> bool:
        return bool(self._fields)

    def fill(self, parts: FloatArray, cars: CodedCars) -> None:
        """Put the usual effects into `parts` (n, fields) wherever a car does not state a field."""
        missing = np.array([_is_missing(field, cars) for field in self._fields])
        if not missing.any():
            return
        codes = cars.codes
        kind = codes[:, _VEHICLE] * self._fuels + codes[:, _FUEL]
        brand = self._companies_start + codes[:, _COMPANY]
        usual = self._values[np.where(codes[:, _VEHICLE] > 0, kind, brand)]
        parts[:, self._columns] = np.where(missing.T, usual, parts[:, self._columns])

    def _slots(self, key: str, ordinal_encoder: CarOrdinalEncoder) -> slice | int:
        """The rows that a cell fills; a more special cell comes later and fills them anew."""
        names = key.split(SEPARATOR) if key else []
        if not names:
            return slice(None)
        if len(names) == 1:
            return self._companies_start + ordinal_encoder.vocabularies["company"].get(names[0], 0)
        vehicle = ordinal_encoder.vehicle_code(names[0], names[1], None) * self._fuels
        if len(names) == 2:  # noqa: PLR2004 - company and model
            return slice(vehicle, vehicle + self._fuels)
        return vehicle + ordinal_encoder.vocabularies["fuel"].get(names[2], 0)


def _is_missing(field: str, cars: CodedCars) -> NDArray[np.bool_]:
    """Whether each car leaves the field out, or states what is not known, (n,)."""
    if field in NUMBERS:
        return np.asarray(np.isnan(cars.numbers[:, NUMBERS.index(field)]))
    if field == EDITION:
        missing = np.ones(len(cars.codes), dtype=np.bool_)
        missing[list(cars.words)] = False
        return missing
    return np.asarray(cars.codes[:, COLUMN_KEYS.index(field)] == 0)
