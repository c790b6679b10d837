"""Predicts log prices of coded cars with a `HedonicModel` laid out as flat arrays."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from operator import add

import numpy as np

from data.hedonic.kernels import impute_parts, sum_parts
from data.hedonic.model import (
    SEPARATOR,
    VEHICLE,
    WORD,
    YEARS,
    Cell,
    FloatArray,
    HedonicModel,
    IntArray,
    PiecewiseLinear,
    Term,
)
from data.hedonic.ordinal_encoder import (
    COLUMN_KEYS,
    KEYS,
    NUMBERS,
    CarOrdinalEncoder,
    CodedCars,
    Words,
    cell_value_code,
    ordinal_encoder_for,
    split_cell_key,
)
from data.vehicles.columns import Column

EDITION = "edition"
"""The field whose words have effects."""
MAX_PURE_PYTHON_ROWS = 8
"""Up to here a sum in Python is faster than numpy; both add in the same order, to the bit."""
_VEHICLE, _FUEL, _COMPANY = (KEYS.index(key) for key in (VEHICLE, "fuel", "company"))
_ANY_VEHICLE = -1
_MAX_CACHE_SIZE = 100_000


class HedonicPredictor:
    """Predicts the log price as `intercept` plus the effects of the car's fields.

    Args:
        model: the fitted model.

    Attributes:
        ordinal_encoder: encodes cars for this model.
        effect_fields: the fields that effects are attributed to, one for each column of `parts`.
    """

    def __init__(self, model: HedonicModel) -> None:
        self.model = model
        self.ordinal_encoder = ordinal_encoder = ordinal_encoder_for(model)
        self.intercept = model.intercept
        terms = sorted(model.terms, key=lambda term: term.field)
        self._piecewise_curves: list[PiecewiseLinear] = []
        self._words = WordEffects(model, ordinal_encoder)
        self._layout(terms)
        self._imputed = ImputedEffects(model, ordinal_encoder, self.effect_fields)
        self._basis = _basis_arrays(self._piecewise_curves)
        columns, keys = np.nonzero(self._strides)
        self._cells = (
            self._values,
            np.searchsorted(columns, np.arange(len(self._strides)), side="right"),
            np.ascontiguousarray(keys),
            self._strides[columns, keys],
            self._offsets,
            self._multipliers,
            self._part_ends,
        )

    def _layout(self, terms: Sequence[Term]) -> None:
        blocks: list[FloatArray] = [np.zeros(1)]
        layout: list[tuple[IntArray, int, int, str]] = []
        filled = 1
        for term in (term for term in terms if WORD not in term.keys):
            tensor, keys = _tensor(term, self.model.cells[term.name], self.ordinal_encoder)
            stride = _strides(keys, self.ordinal_encoder.sizes)
            for column, block in zip(self._columns_of(term), tensor, strict=True):
                blocks.append(block)
                layout.append((stride, filled, column, term.field))
                filled += len(block)
        if self._words:
            # A column of zeros, replaced by the effects of the words.
            layout.append((np.zeros(len(KEYS), dtype=np.int64), 0, 0, EDITION))
        strides, offsets, multipliers, fields = zip(*layout, strict=True)
        self._values = np.concatenate(blocks)
        self._strides = np.array(strides)
        self._offsets = np.array(offsets)
        self._multipliers = np.array(multipliers)
        self.effect_fields = tuple(dict.fromkeys(fields))
        counts = [fields.count(field) for field in self.effect_fields]
        self._part_ends = np.cumsum(counts, dtype=np.int64)

    def _columns_of(self, term: Term) -> list[int]:
        """Basis columns that the term's coefficients are multiplied by; 0 is the column of ones."""
        if term.curve is None or term.curve.variable == "year":
            return [0]
        if term.curve not in self._piecewise_curves:
            self._piecewise_curves.append(term.curve)
        before = self._piecewise_curves[: self._piecewise_curves.index(term.curve)]
        first = 1 + sum(curve.width for curve in before)
        return list(range(first, first + term.width))

    def predict(self, columns: Mapping[str, Column], n: int) -> FloatArray:
        """Log price (n,) of `n` cars given as columns of normal-form values."""
        return self.log_price(self.parts(self.ordinal_encoder.code(columns, n)))

    def parts(self, cars: CodedCars) -> FloatArray:
        """Effects on the log price (n, len(effect_fields))."""
        parts = np.empty((len(cars.codes), len(self.effect_fields)))
        sum_parts(cars.codes, cars.numbers, *self._cells, *self._basis, parts)
        if cars.words:
            self._words.fill(parts[:, self.effect_fields.index(EDITION)], cars)
        if self._imputed:
            self._imputed.fill(parts, cars)
        return parts

    def log_price(self, parts: FloatArray) -> FloatArray:
        """Log price (n,) from `parts`."""
        if len(parts) <= MAX_PURE_PYTHON_ROWS:
            # Not `sum`: since Python 3.12 it uses compensated summation.
            return np.array([reduce(add, row, self.intercept) for row in parts.tolist()])
        total = np.full(len(parts), self.intercept)
        for column in range(parts.shape[1]):
            total += parts[:, column]
        return total


class WordEffects:
    """Effects of the words of an edition ("1.5", "dci", "laureate"), in general and by vehicle.

    Holds the cells of the terms that have `WORD` among their keys; false if there are none. Sums
    are cached: few combinations of a vehicle and an edition occur.
    """

    def __init__(self, model: HedonicModel, ordinal_encoder: CarOrdinalEncoder) -> None:
        self._cells: dict[tuple[int, str], float] = {}
        terms = [term for term in model.terms if WORD in term.keys]
        for term in terms:
            for name, cell in model.cells[term.name].items():
                values = dict(zip(term.keys, split_cell_key(name, term.keys), strict=True))
                vehicle = _ANY_VEHICLE
                if VEHICLE in values:
                    vehicle = cell_value_code(VEHICLE, values[VEHICLE], ordinal_encoder)
                self._cells[vehicle, values[WORD]] = cell.coefficients[0]
        self._known = bool(terms)
        self._sum = lru_cache(_MAX_CACHE_SIZE)(self._find_sum)

    def __bool__(self) -> bool:
        return self._known

    def fill(self, effects: FloatArray, cars: CodedCars) -> None:
        """Write the log price effect of each edition with known words to `effects` (n,)."""
        positions = list(cars.words)
        vehicles = cars.codes[positions, _VEHICLE].tolist()
        effects[positions] = list(map(self._sum, vehicles, cars.words.values()))

    def _find_sum(self, vehicle: int, words: Words) -> float:
        cells = self._cells
        return sum(
            cells.get((_ANY_VEHICLE, word), 0.0) + cells.get((vehicle, word), 0.0) for word in words
        )


class ImputedEffects:
    """Imputed effects of missing fields, by the codes of vehicle and fuel, or of the company.

    Lays out `HedonicModel.imputed`; false if the model has none.
    """

    def __init__(
        self, model: HedonicModel, ordinal_encoder: CarOrdinalEncoder, effect_fields: Sequence[str]
    ) -> None:
        fields = [field for field in effect_fields if field in model.imputed]
        self._columns = np.array([effect_fields.index(field) for field in fields], dtype=np.int64)
        self._fuels = ordinal_encoder.sizes["fuel"]
        self._companies_start = ordinal_encoder.sizes[VEHICLE] * self._fuels
        size = self._companies_start + ordinal_encoder.sizes["company"]
        self._values = np.zeros((size, len(fields)))
        for column, field in enumerate(fields):
            cells = model.imputed[field]
            values = {key: cell.coefficients[0] for key, cell in cells.items()}
            for key in sorted(values, key=lambda key: len(key.split(SEPARATOR)) if key else 0):
                self._values[self._slots(key, ordinal_encoder), column] = values[key]
        self._sources = np.array(list(map(_source, fields)), dtype=np.int64)
        self._places = np.array([_VEHICLE, _FUEL, _COMPANY, self._fuels, self._companies_start])

    def __bool__(self) -> bool:
        return bool(len(self._sources))

    def fill(self, parts: FloatArray, cars: CodedCars) -> None:
        """Write the imputed effects to `parts` (n, fields) where a car does not state a field."""
        has_words = np.zeros(len(cars.codes), dtype=np.bool_)
        if cars.words:
            has_words[list(cars.words)] = True
        impute_parts(
            cars.codes,
            cars.numbers,
            has_words,
            self._places,
            self._sources,
            self._values,
            self._columns,
            parts,
        )

    def _slots(self, key: str, ordinal_encoder: CarOrdinalEncoder) -> slice | int:
        """The rows of a cell; more specific cells come later and overwrite them."""
        names = key.split(SEPARATOR) if key else []
        if not names:
            return slice(None)
        if len(names) == 1:
            return self._companies_start + ordinal_encoder.vocabularies["company"].get(names[0], 0)
        vehicle = ordinal_encoder.vehicle_code(names[0], names[1], None) * self._fuels
        if len(names) == 2:  # noqa: PLR2004 - company and model
            return slice(vehicle, vehicle + self._fuels)
        return vehicle + ordinal_encoder.vocabularies["fuel"].get(names[2], 0)


def _source(field: str) -> int:
    """What states a field, as `impute_parts` numbers it."""
    if field in NUMBERS:
        return NUMBERS.index(field)
    return -1 if field == EDITION else len(NUMBERS) + COLUMN_KEYS.index(field)


def _basis_arrays(
    curves: Sequence[PiecewiseLinear],
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """The basis columns of several curves, after a column of ones.

    Returns:
        Index of the number, lower knot, knot distance, origin and value at the origin of each.
    """
    numbers = [NUMBERS.index(curve.variable) for curve in curves for _ in range(curve.width)]
    lows = np.array([0.0, *(low for curve in curves for low in curve.knots[:-1])])
    spans = np.array([1.0, *(high for curve in curves for high in curve.knots[1:])]) - lows
    origins = np.array([1.0, *(curve.origin for curve in curves for _ in range(curve.width))])
    at_origin = np.clip((origins - lows) / spans, 0.0, 1.0)
    at_origin[0] = 0.0
    return np.array([0, *numbers]), lows, spans, origins, at_origin


def _strides(keys: Sequence[str], sizes: Mapping[str, int]) -> IntArray:
    """Strides of the codes in a flat block of cells, (len(KEYS),)."""
    strides = np.zeros(len(KEYS), dtype=np.int64)
    step = 1
    for key in reversed(keys):
        strides[KEYS.index(key)] = step
        step *= sizes[key]
    return strides


def _tensor(
    term: Term, cells: Mapping[str, Cell], ordinal_encoder: CarOrdinalEncoder
) -> tuple[FloatArray, tuple[str, ...]]:
    """The term's coefficients as flat blocks (width, cells), and the keys that address them.

    A curve over the year is tabulated: the year becomes one more key.
    """
    size = int(np.prod([ordinal_encoder.sizes[key] for key in term.keys], dtype=np.int64))
    strides = _strides(term.keys, ordinal_encoder.sizes)[[KEYS.index(key) for key in term.keys]]
    tensor = np.zeros((size, term.width))
    for name, cell in cells.items():
        values = zip(term.keys, split_cell_key(name, term.keys), strict=True)
        codes = [cell_value_code(key, value, ordinal_encoder) for key, value in values]
        tensor[int(np.dot(strides, codes)) if codes else 0] = cell.coefficients
    if term.curve is None or term.curve.variable != "year":
        return tensor.T, term.keys
    curve = np.vstack([np.zeros(term.width), term.curve.columns(YEARS)])
    return (tensor @ curve.T).reshape(1, -1), (*term.keys, "year")
