"""A `HedonicModel` laid out for speed: cars become codes, codes become prices."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.hedonic import (
    FIRST_YEAR,
    LAST_YEAR,
    SEPARATOR,
    SPEC,
    VEHICLE,
    YEARS,
    Bend,
    Cell,
    FloatArray,
    HedonicModel,
    IntArray,
    Term,
)
from data.vehicles import VehicleIndex

PLAIN_KEYS = (
    "company",
    "fuel",
    "transmission",
    "fiscal_power_cv",
    "owner",
    "seller_type",
    "condition",
    "origin",
    "city",
    "edition",
    "doors",
)
KEYS = (*PLAIN_KEYS, "year", VEHICLE, SPEC)
PARTS_OF = {VEHICLE: ("company", "model"), SPEC: ("company", "model", "fuel", "transmission")}
NUMBERS = (
    "year",
    "km_driven",
    "fiscal_power_cv",
    "engine_cc",
    "max_power_bhp",
    "torque_nm",
    "mileage_mpg",
    "doors",
)
_WHOLE_KEYS = frozenset({"fiscal_power_cv", "doors", "year"})


@dataclasses.dataclass(frozen=True, slots=True)
class CodedCars:
    """Cars as codes (n, len(KEYS)) and numbers (n, len(NUMBERS)), NaN where missing."""

    codes: IntArray
    numbers: FloatArray


class CarCoder:
    """Turns the car's fields into small integers; 0 is "missing or never seen"."""

    def __init__(
        self,
        vocabularies: Mapping[str, Sequence[Any]],
        vehicles: Sequence[tuple[str, str]],
        vehicle_years: Sequence[float],
        specs: Sequence[tuple[str, str, str, str]],
    ) -> None:
        self.vocabularies = {
            key: {value: code for code, value in enumerate(vocabularies.get(key, ()), start=1)}
            for key in PLAIN_KEYS
        }
        self._vehicles = VehicleIndex(vehicles, vehicle_years)
        self.sizes = {key: len(words) + 1 for key, words in self.vocabularies.items()}
        self.sizes |= {
            "year": len(YEARS) + 1,
            VEHICLE: len(vehicles) + 1,
            SPEC: len(specs) + 1,
        }
        self._specs = self._spec_codes(vehicles, specs)

    def _spec_codes(
        self,
        vehicles: Sequence[tuple[str, str]],
        specs: Sequence[tuple[str, str, str, str]],
    ) -> IntArray:
        """Code of a spec by the codes of vehicle, fuel and transmission."""
        found = np.zeros(
            (self.sizes[VEHICLE], self.sizes["fuel"], self.sizes["transmission"]), dtype=np.int64
        )
        vehicle_codes = {pair: code for code, pair in enumerate(vehicles, start=1)}
        fuels, gearboxes = self.vocabularies["fuel"], self.vocabularies["transmission"]
        for code, (company, model, fuel, gearbox) in enumerate(specs, start=1):
            vehicle = vehicle_codes.get((company, model), 0)
            if vehicle:
                found[vehicle, fuels.get(fuel, 0), gearboxes.get(gearbox, 0)] = code
        return found

    def vehicle_code(self, company: str, model: str, year: float | None) -> int:
        """Code of the car's vehicle; 0 if it is not known."""
        return self._vehicles.code(company, model, year)

    def spec_code(self, company: str, model: str, fuel: str, transmission: str) -> int:
        """Code of the spec with exactly these values; 0 if it is not known."""
        fuel_code = self.vocabularies["fuel"].get(fuel, 0)
        gearbox_code = self.vocabularies["transmission"].get(transmission, 0)
        return int(self._specs[self.vehicle_code(company, model, None), fuel_code, gearbox_code])

    def code(self, columns: Mapping[str, Sequence[Any]], n: int) -> CodedCars:
        """Code `n` cars given as columns of normal-form values; absent columns are missing."""
        numbers = np.empty((n, len(NUMBERS)))
        for index, name in enumerate(NUMBERS):
            numbers[:, index] = _as_floats(columns.get(name), n)
        codes = np.zeros((n, len(KEYS)), dtype=np.int64)
        for index, key in enumerate(PLAIN_KEYS):
            words = self.vocabularies[key]
            if words and key in columns:
                codes[:, index] = [words.get(value, 0) for value in columns[key]]
        years = np.nan_to_num(numbers[:, 0], nan=FIRST_YEAR - 1.0)
        codes[:, KEYS.index("year")] = (
            np.clip(years, FIRST_YEAR - 1, LAST_YEAR) - FIRST_YEAR + 1
        )
        known = [
            self.vehicle_code(company, model, year)
            for company, model, year in zip(
                columns["company"], columns["model"], columns["year"], strict=True
            )
        ]
        codes[:, -2] = known
        codes[:, -1] = self._specs[known, codes[:, 1], codes[:, 2]]
        return CodedCars(codes, numbers)


def _as_floats(values: Sequence[Any] | None, n: int) -> FloatArray:
    """A column of numbers or None as floats, NaN for None."""
    if values is None:
        return np.full(n, np.nan)
    return np.array(values, dtype=np.float64)


def coder_for(model: HedonicModel) -> CarCoder:
    """The coder that knows every value that stands in a cell of `model`."""
    words: dict[str, set[str]] = {key: set() for key in (*PLAIN_KEYS, SPEC)}
    for term in model.terms:
        for cell in model.cells[term.name]:
            for key, value in zip(term.keys, split_cell(cell, term.keys), strict=True):
                if key in words and value.strip(SEPARATOR):
                    words[key].add(value)
                if key == SPEC:
                    _, _, fuel, gearbox = value.split(SEPARATOR)
                    words["fuel"].add(fuel)
                    words["transmission"].add(gearbox)
    vocabularies = {
        key: [int(v) if key in _WHOLE_KEYS else v for v in sorted(words[key] - {""})]
        for key in PLAIN_KEYS
    }
    vehicles = [_pair(vehicle) for vehicle in model.vehicle_years]
    specs = [_quadruple(spec) for spec in sorted(words[SPEC])]
    return CarCoder(vocabularies, vehicles, list(model.vehicle_years.values()), specs)


def split_cell(cell: str, keys: Sequence[str]) -> list[str]:
    """The value of each key in a cell's name; a derived key keeps its parts joined.

    >>> split_cell("dacia|logan|2018", ["vehicle", "year"])
    ['dacia|logan', '2018']
    """
    values = cell.split(SEPARATOR)
    found = []
    for key in keys:
        width = len(PARTS_OF.get(key, (key,)))
        found.append(SEPARATOR.join(values[:width]))
        values = values[width:]
    return found


def _pair(vehicle: str) -> tuple[str, str]:
    company, model = vehicle.split(SEPARATOR)
    return company, model


def _quadruple(spec: str) -> tuple[str, str, str, str]:
    company, model, fuel, gearbox = spec.split(SEPARATOR)
    return company, model, fuel, gearbox


class HedonicTables:
    """The model as flat arrays.

    `part_fields` are the car's fields that effects are attributed to; `parts` gives one column
    for each, and their sum plus `intercept` is the log price.
    """

    def __init__(self, model: HedonicModel, coder: CarCoder) -> None:
        self.model = model
        self.coder = coder
        self.intercept = model.intercept
        terms = sorted(model.terms, key=lambda term: term.field)
        self._bends: list[Bend] = []
        self._layout(terms)

    def _layout(self, terms: Sequence[Term]) -> None:
        blocks: list[FloatArray] = [np.zeros(1)]
        strides: list[IntArray] = []
        offsets: list[int] = []
        multipliers: list[int] = []
        fields: list[str] = []
        filled = 1
        for term in terms:
            tensor, keys = _tensor(term, self.model.cells[term.name], self.coder)
            columns = self._multipliers(term)
            stride = _strides(keys, self.coder.sizes)
            for column, block in zip(columns, tensor, strict=True):
                blocks.append(block)
                strides.append(stride)
                offsets.append(filled)
                multipliers.append(column)
                fields.append(term.field)
                filled += len(block)
        self._values = np.concatenate(blocks)
        self._strides = np.array(strides).T.copy()
        self._offsets = np.array(offsets)
        self._multipliers = np.array(multipliers)
        self.part_fields = tuple(dict.fromkeys(fields))
        self._starts = np.array([fields.index(field) for field in self.part_fields])

    def _multipliers(self, term: Term) -> list[int]:
        """Columns that the term's coefficients are multiplied by; 0 is the column of ones."""
        if term.bend is None or term.bend.variable == "year":
            return [0]
        if term.bend not in self._bends:
            self._bends.append(term.bend)
        before = self._bends[: self._bends.index(term.bend)]
        first = 1 + sum(bend.width for bend in before)
        return list(range(first, first + term.width))

    def parts(self, cars: CodedCars) -> FloatArray:
        """Effects on the log price (n, len(part_fields))."""
        effects = self._values[cars.codes @ self._strides + self._offsets]
        columns = [np.ones((len(effects), 1))]
        columns += [
            bend.columns(cars.numbers[:, NUMBERS.index(bend.variable)]) for bend in self._bends
        ]
        effects *= np.concatenate(columns, axis=1)[:, self._multipliers]
        return np.add.reduceat(effects, self._starts, axis=1)

    def log_price(self, parts: FloatArray) -> FloatArray:
        """Log price (n,) from `parts`."""
        total = np.full(len(parts), self.intercept)
        for column in range(parts.shape[1]):
            total += parts[:, column]
        return total


def _strides(keys: Sequence[str], sizes: Mapping[str, int]) -> IntArray:
    """What each code is multiplied by to find a cell in a flat block."""
    strides = np.zeros(len(KEYS), dtype=np.int64)
    step = 1
    for key in reversed(keys):
        strides[KEYS.index(key)] = step
        step *= sizes[key]
    return strides


def _tensor(
    term: Term, cells: Mapping[str, Cell], coder: CarCoder
) -> tuple[FloatArray, tuple[str, ...]]:
    """The term's coefficients as flat blocks (slots, cells), and the keys that address them.

    A bend along the year is unrolled: the year becomes one more key.
    """
    unrolled = term.bend is not None and term.bend.variable == "year"
    shape = [coder.sizes[key] for key in term.keys]
    if unrolled and term.bend is not None:
        curve = np.vstack([np.zeros(term.bend.width), term.bend.columns(YEARS)])
        shape.append(len(curve))
    slots = 1 if unrolled else term.width
    tensor = np.zeros((slots, *shape))
    for name, cell in cells.items():
        where = _locate(name, term.keys, coder)
        if unrolled:
            tensor[(0, *where)] = curve @ np.asarray(cell.coefficients)
        else:
            tensor[(slice(None), *where)] = cell.coefficients
    keys = (*term.keys, "year") if unrolled else term.keys
    return tensor.reshape(slots, -1), keys


def _locate(cell: str, keys: Sequence[str], coder: CarCoder) -> tuple[int, ...]:
    """The codes of a cell's name."""
    values = split_cell(cell, keys)
    return tuple(_code_of(key, value, coder) for key, value in zip(keys, values, strict=True))


def _code_of(key: str, value: str, coder: CarCoder) -> int:
    if key == VEHICLE:
        return coder.vehicle_code(*_pair(value), None)
    if key == SPEC:
        return coder.spec_code(*_quadruple(value))
    if value == "":
        return 0
    if key == "year":
        return int(value) - FIRST_YEAR + 1
    return coder.vocabularies[key][int(value) if key in _WHOLE_KEYS else value]
