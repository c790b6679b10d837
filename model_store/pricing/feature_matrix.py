"""Encodes cars as the forest's feature matrix and computes their baseline price.

The baseline is a hedonic model (`data.hedonic.model`): a sum of effects on the log price. The
forest predicts the residual of the baseline, so the log price is `baseline_log` plus the mean of
the trees. Encoding needs numpy, but neither scikit-learn nor pandas.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from data.hedonic.model import VEHICLE, YEARS, HedonicModel
from data.hedonic.ordinal_encoder import (
    KEYS,
    NUMBERS,
    CarOrdinalEncoder,
    CodedCars,
    Row,
    cell_value_code,
    split_cell_key,
)
from data.hedonic.predictor import HedonicPredictor
from data.vehicles.columns import CategoricalColumn, Column, as_codes
from model_store.forest.kernels import lay_out_features
from shared.domain.car import CATEGORIES, FIELD_NAMES, MAX_KM_PER_YEAR, CarFeatures, Condition

MISSING = -1.0
"""Encoded missing value; the packed forest does not support NaN."""

COMPLETE, INCOMPLETE, OUT_OF_RANGE, UNKNOWN_MODEL, UNKNOWN_BRAND = range(5)
"""Levels of information: all details stated; details missing; a number outside the training range;
a model not seen in training; a brand not seen in training."""

MAX_ROWS_OF_VALUES = 4
"""Up to here cars are coded one by one, beyond by column: both give the same codes."""

EFFECT_PREFIX = "effect_"
BASELINE = "baseline_log"
_VEHICLE, _COMPANY = KEYS.index("vehicle"), KEYS.index("company")
_YEAR_KEY = KEYS.index("year")
_YEAR, _KM = NUMBERS.index("year"), NUMBERS.index("km_driven")
_PLACES = np.array([_VEHICLE, _COMPANY, _YEAR_KEY, _KM])
_LEVELS = np.array([INCOMPLETE, OUT_OF_RANGE, UNKNOWN_MODEL, UNKNOWN_BRAND])
"""Of `lay_out_features`."""
_values_of = attrgetter(*FIELD_NAMES)
_categories_of = itemgetter(*map(FIELD_NAMES.index, CATEGORIES))
_CATEGORY_CODES: dict[str, dict[str | None, float]] = {
    name: {None: MISSING} | {str(member): float(code) for code, member in enumerate(enum)}
    for name, enum in CATEGORIES.items()
}
"""Ordinal code of each category, in the order of its definition."""
_CONDITION = "condition"
_ORDERED_DETAILS = ("owner", "seller_type", _CONDITION, "origin")
"""Categories whose unseen values are missing for the trees too, as they are for the baseline."""


@dataclasses.dataclass(frozen=True, slots=True)
class EncodedCars:
    """A group of n encoded cars.

    Args:
        matrix: float32 (n, k), C-contiguous, columns as in `CarEncoder.feature_names`;
            `MISSING` where a value is missing, never NaN.
        baseline_log: float64 (n,), log price in MAD by the baseline.
        level: int8 (n,), from `COMPLETE` to `UNKNOWN_BRAND`.
    """

    matrix: npt.NDArray[np.float32]
    baseline_log: npt.NDArray[np.float64]
    level: npt.NDArray[np.int8]


@dataclasses.dataclass(frozen=True, slots=True)
class CodedFeatures:
    """A group of n cars as codes, before their baseline and matrix are computed.

    Args:
        cars: codes and numbers of the baseline.
        categories: float64 (n, categories), ordinal codes of `CATEGORIES`, `MISSING` where missing.
        lacks_details: bool (n,), whether one of `CarEncoder.detail_fields` is missing.
    """

    cars: CodedCars
    categories: npt.NDArray[np.float64]
    lacks_details: npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """A copy with the cars in `rows`, which may repeat."""
        return type(self)(self.cars.take(rows), self.categories[rows], self.lacks_details[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class CarEncoder:
    """Encodes cars; a car has the same encoding, to the bit, alone and in any group.

    Args:
        hedonic: the baseline.
        feature_names: columns of the matrix: numbers and categories by the name of the car's
            field, `effect_<field>` for a part of the baseline, `baseline_log` for its sum.
        detail_fields: optional fields without which a car is `INCOMPLETE`.
        ranges: the training range of numbers by name. A car outside one is `OUT_OF_RANGE`, as is
            one with more than `MAX_KM_PER_YEAR`; the range of the year only limits that mileage.
        masked_fields: categories whose unseen values are `MISSING` in the matrix; in versions
            stored by earlier releases only the condition.
    """

    hedonic: HedonicModel
    feature_names: tuple[str, ...]
    detail_fields: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    masked_fields: tuple[str, ...] = _ORDERED_DETAILS
    _predictor: HedonicPredictor = dataclasses.field(init=False)
    _feature_columns: npt.NDArray[np.int64] = dataclasses.field(init=False)
    """(k,) places of the features, see `lay_out_features`."""
    _category_codes: Mapping[str, Mapping[str | None, float]] = dataclasses.field(init=False)
    """As `_CATEGORY_CODES`; `MISSING` for details that training has not seen."""
    _detail_places: Sequence[int] = dataclasses.field(init=False)
    """Places of `detail_fields` in a row."""
    _bounds: npt.NDArray[np.float64] = dataclasses.field(init=False)
    """(2, len(NUMBERS)) training ranges."""
    _max_km_by_year: npt.NDArray[np.float64] = dataclasses.field(init=False)
    """(len(YEARS) + 1,) by the code of the year of registration; code 0 is a missing year."""

    def __post_init__(self) -> None:
        predictor = HedonicPredictor(self.hedonic)
        object.__setattr__(self, "_predictor", predictor)
        known = (
            *NUMBERS,
            *_CATEGORY_CODES,
            *(EFFECT_PREFIX + field for field in predictor.effect_fields),
            BASELINE,
        )
        # Effects that this baseline does not have are zero.
        picked = [known.index(name) if name in known else -1 for name in self.feature_names]
        everywhere = (-np.inf, np.inf)
        bounds = np.array([self.ranges.get(name, everywhere) for name in NUMBERS]).T
        ages = np.maximum(bounds[1, _YEAR] - np.array([YEARS[0], *YEARS]), 0.0)
        furthest = np.minimum(MAX_KM_PER_YEAR * (ages + 1.0), bounds[1, _KM])
        bounds[:, [_YEAR, _KM]] = np.array([everywhere]).T
        object.__setattr__(self, "_max_km_by_year", furthest)
        object.__setattr__(self, "_bounds", bounds)
        vocabularies = predictor.ordinal_encoder.vocabularies
        is_damaged = _price_parts_as_damaged(self.hedonic, vocabularies[_CONDITION])
        codes = _seen_codes(vocabularies, self.masked_fields, parts_are_damaged=is_damaged)
        object.__setattr__(self, "_category_codes", codes)
        object.__setattr__(self, "_detail_places", list(map(FIELD_NAMES.index, self.detail_fields)))
        object.__setattr__(self, "_feature_columns", np.array(picked))

    @property
    def feature_fields(self) -> Mapping[str, tuple[str, ...]]:
        """The car's fields behind each column of the matrix."""
        return MappingProxyType({name: _fields_of(name) for name in self.feature_names})

    def encode(self, cars: Sequence[CarFeatures]) -> EncodedCars:
        """Encode a group of cars, in order."""
        return self.encode_codes(self.code(cars))

    def encode_columns(self, columns: Mapping[str, Column], n: int) -> EncodedCars:
        """Encode `n` cars given as columns of normal-form values, None where missing.

        Args:
            columns: by field name; an absent field is missing in every car.
            n: number of cars.
        """
        return self.encode_codes(self.code_columns(columns, n))

    def code(self, cars: Sequence[CarFeatures]) -> CodedFeatures:
        """Code a group of cars, in order."""
        rows = list(map(_values_of, cars))
        if len(rows) <= MAX_ROWS_OF_VALUES:
            return self._code_rows(rows)
        columns = dict(zip(FIELD_NAMES, zip(*rows, strict=True), strict=True))
        return self.code_columns(columns, len(cars))

    def code_columns(self, columns: Mapping[str, Column], n: int) -> CodedFeatures:
        """Code `n` cars given as columns; see `encode_columns`."""
        lacks_details = np.zeros(n, dtype=np.bool_)
        for name in self.detail_fields:
            lacks_details |= _is_missing(columns.get(name), n)
        return CodedFeatures(
            self._predictor.ordinal_encoder.code(columns, n),
            _code_categories(columns, n, self._category_codes),
            lacks_details,
        )

    def _code_rows(self, rows: Sequence[Row]) -> CodedFeatures:
        """Code cars given as rows."""
        tables = self._category_codes.values()
        categories = [
            [codes[value] for codes, value in zip(tables, _categories_of(row), strict=True)]
            for row in rows
        ]
        lacks = [None in [row[at] for at in self._detail_places] for row in rows]
        return CodedFeatures(
            self._predictor.ordinal_encoder.code_rows(rows),
            np.array(categories, dtype=np.float64).reshape(len(rows), len(CATEGORIES)),
            np.array(lacks, dtype=np.bool_),
        )

    def encode_codes(self, features: CodedFeatures) -> EncodedCars:
        """Compute baseline, matrix and level of information of coded cars."""
        cars = features.cars
        n = len(cars.codes)
        matrix = np.empty((n, len(self._feature_columns)), dtype=np.float32)
        baseline_log, level = np.empty(n), np.empty(n, dtype=np.int8)
        lay_out_features(
            cars.codes,
            cars.numbers,
            features.categories,
            features.lacks_details,
            self._predictor.parts(cars),
            self._predictor.intercept,
            self._feature_columns,
            self._bounds,
            self._max_km_by_year,
            _PLACES,
            _LEVELS,
            matrix,
            baseline_log,
            level,
        )
        return EncodedCars(matrix, baseline_log, level)

    @property
    def ordinal_encoder(self) -> CarOrdinalEncoder:
        """Codes the cars for the baseline."""
        return self._predictor.ordinal_encoder

    @cached_property
    def numeric_effects(self) -> frozenset[str]:
        """The fields with numbers that change the price."""
        by_field = (
            term.field
            for term in self.hedonic.terms
            if any(any(cell.coefficients) for cell in self.hedonic.cells[term.name].values())
        )
        return frozenset({*by_field, *self.feature_names}.intersection(NUMBERS))

    @cached_property
    def unmasked_fields(self) -> frozenset[str]:
        """Categories of which the trees read unseen values as the ones beside them."""
        vocabularies = self.ordinal_encoder.vocabularies
        return frozenset(
            name
            for name in CATEGORIES
            if name in self.feature_names and vocabularies[name] and name not in self.masked_fields
        )

    @cached_property
    def values_by_vehicle(self) -> Mapping[str, frozenset[tuple[int, int]]]:
        """Codes of vehicle and value that training listings have, by field (fuel, gearbox).

        A field is absent if the baseline does not distinguish it by vehicle.
        """
        coder = self.ordinal_encoder
        return {
            term.field: frozenset(
                (
                    cell_value_code(VEHICLE, vehicle, coder),
                    cell_value_code(term.field, value, coder),
                )
                for cell in self.hedonic.cells[term.name]
                for vehicle, value in [split_cell_key(cell, term.keys)]
            )
            for term in self.hedonic.terms
            if term.keys in {(VEHICLE, "fuel"), (VEHICLE, "transmission")} and term.curve is None
        }

    @property
    def effect_fields(self) -> tuple[str, ...]:
        """The fields that `baseline_effects` attributes effects to."""
        return self._predictor.effect_fields

    def baseline_effects(self, features: CodedFeatures) -> tuple[float, npt.NDArray[np.float64]]:
        """The intercept of the baseline and the effects (n, effect_fields), log scale.

        The sum of both is `baseline_log` of an encoded car.
        """
        return self._predictor.intercept, self._predictor.parts(features.cars)

    def log_prices(self, cars: CodedCars) -> npt.NDArray[np.float64]:
        """Log price (n,) of coded cars by the baseline."""
        return self._predictor.log_price(self._predictor.parts(cars))

    def vehicle_code(self, car: CarFeatures) -> int:
        """Code of the car's vehicle in any of its spellings; 0 if training has not seen it."""
        return self._predictor.ordinal_encoder.vehicle_code(car.company, car.model, car.year)

    def numbers_out_of_range(self, coded: CodedCars) -> npt.NDArray[np.bool_]:
        """Whether each of `NUMBERS` is stated and outside the training range, (n, numbers)."""
        low, high = self._bounds
        numbers = coded.numbers
        # Comparisons with NaN, a missing number, are false.
        outside = (numbers < low) | (numbers > high)
        outside[:, _KM] |= numbers[:, _KM] > self._max_km_by_year[coded.codes[:, _YEAR_KEY]]
        return np.asarray(outside)

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {
            "hedonic": self.hedonic.to_json(),
            "feature_names": list(self.feature_names),
            "detail_fields": list(self.detail_fields),
            "ranges": {name: list(bounds) for name, bounds in self.ranges.items()},
            "masked_fields": list(self.masked_fields),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild the encoder from `to_json`."""
        return cls(
            hedonic=HedonicModel.from_json(given["hedonic"]),
            feature_names=tuple(given["feature_names"]),
            detail_fields=tuple(given["detail_fields"]),
            ranges={name: (low, high) for name, (low, high) in given["ranges"].items()},
            masked_fields=tuple(given.get("masked_fields", (_CONDITION,))),
        )


def _seen_codes(
    vocabularies: Mapping[str, Mapping[Any, int]],
    masked_fields: Sequence[str],
    *,
    parts_are_damaged: bool,
) -> Mapping[str, Mapping[str | None, float]]:
    """The codes of the categories, `MISSING` for details without statistics.

    The trees would take the code of an unseen value for the one beside it: a value of which answers
    say that it has no effect must have none.

    Args:
        vocabularies: of the baseline; a field without values has no statistics at all.
        masked_fields: see `CarEncoder`.
        parts_are_damaged: whether cars for parts have the code of damaged ones.
    """
    found = dict(_CATEGORY_CODES)
    for name in masked_fields:
        if seen := vocabularies.get(name):
            codes = _CATEGORY_CODES[name].items()
            found[name] = {value: code if value in seen else MISSING for value, code in codes}
    if parts_are_damaged:
        conditions = found[_CONDITION]
        found[_CONDITION] = {**conditions, Condition.FOR_PARTS: conditions[Condition.DAMAGED]}
    return found


def _price_parts_as_damaged(hedonic: HedonicModel, conditions: dict[Any, int]) -> bool:
    """Give cars for parts the code of damaged cars if they would not be worth less.

    Training lacks them, or has too few to value them below damaged ones.

    Args:
        hedonic: the baseline.
        conditions: its codes of conditions; changed in place.

    Returns:
        Whether cars for parts are priced as damaged ones.
    """
    terms = [term.name for term in hedonic.terms if term.keys == (_CONDITION,)]
    cells = hedonic.cells[terms[0]] if terms else {}
    damaged, parts = (cells.get(one) for one in (Condition.DAMAGED, Condition.FOR_PARTS))
    if damaged is None or (parts and parts.coefficients[0] < damaged.coefficients[0]):
        return False
    conditions[Condition.FOR_PARTS] = conditions[Condition.DAMAGED]
    return True


def _code_categories(
    columns: Mapping[str, Column], n: int, codes_by_name: Mapping[str, Mapping[str | None, float]]
) -> npt.NDArray[np.float64]:
    """Ordinal codes of the categories, (n, categories)."""
    absent = (None,) * n
    found: list[Sequence[float] | npt.NDArray[np.float64]] = []
    for name, codes in codes_by_name.items():
        column = columns.get(name, absent)
        if isinstance(column, CategoricalColumn):
            found.append(as_codes(column, codes, missing=MISSING))
        else:
            found.append([codes[value] for value in column])
    return np.array(found).T


def _is_missing(column: Column | None, n: int) -> npt.NDArray[np.bool_] | list[bool]:
    """Whether each of the n values of a column is missing."""
    if column is None:
        return [True] * n
    if isinstance(column, np.ndarray):
        return np.asarray(np.isnan(column))
    if isinstance(column, CategoricalColumn):
        return as_codes(column, _IS_NONE) > 0
    return [value is None for value in column]


_IS_NONE: Mapping[Any, float] = {None: 1.0}


def _fields_of(feature: str) -> tuple[str, ...]:
    if feature == BASELINE:
        return ("company", "model", "year")
    return (feature.removeprefix(EFFECT_PREFIX),)
