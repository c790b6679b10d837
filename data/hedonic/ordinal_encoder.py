"""Ordinal encoding of cars: the codes that address the cells of a hedonic model."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Self, TypeAlias, cast

import numpy as np

from data.hedonic.model import (
    BRAND_CLASS,
    FIRST_YEAR,
    LAST_YEAR,
    SEPARATOR,
    SPEC,
    VEHICLE,
    WORD,
    YEARS,
    FloatArray,
    HedonicModel,
    IntArray,
    split_vehicle,
)
from data.vehicles.columns import CategoricalColumn, Column, as_codes, as_numbers, distinct_codes
from data.vehicles.names import BRAND_CLASSES
from shared.domain.car import FIELD_NAMES
from shared.domain.reading import Match, NameReading, NamesMissing
from shared.vehicles.names import is_generation, read_names

COLUMN_KEYS = (
    "company",
    "fuel",
    "transmission",
    "fiscal_power_cv",
    "owner",
    "seller_type",
    "condition",
    "origin",
    "city",
    "doors",
    BRAND_CLASS,
)
KEYS = (*COLUMN_KEYS, "year", VEHICLE, SPEC)
KEY_COLUMNS = {VEHICLE: ("company", "model"), SPEC: ("company", "model", "fuel", "transmission")}
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
_YEAR, _VEHICLE, _SPEC = KEYS.index("year"), KEYS.index(VEHICLE), KEYS.index(SPEC)
_BRAND_KEYS = (COLUMN_KEYS.index("company"), COLUMN_KEYS.index(BRAND_CLASS))
_YEAR_NUMBER = NUMBERS.index("year")
_FUEL, _TRANSMISSION = COLUMN_KEYS.index("fuel"), COLUMN_KEYS.index("transmission")
_COLUMN_OF = {BRAND_CLASS: "company"}
"""Column of a key that is not itself a column."""
_numbers_of = itemgetter(*map(FIELD_NAMES.index, NUMBERS))
_key_values_of = itemgetter(*(FIELD_NAMES.index(_COLUMN_OF.get(key, key)) for key in COLUMN_KEYS))
_names_of = itemgetter(*map(FIELD_NAMES.index, ("company", "model", "year")))
_EDITION_FIELD = FIELD_NAMES.index("edition")
"""Place of the field in a row."""
_INTEGER_KEYS = frozenset({"fiscal_power_cv", "doors", "year"})
_MAX_CACHE_SIZE = 100_000
_GENERATION = re.compile(r"^(.+) (\d{1,2})$")

Words = tuple[str, ...]
Row: TypeAlias = Sequence[Any]
"""The values of one car in the order of `FIELD_NAMES`, in normal form; None where missing."""
Generations: TypeAlias = tuple[tuple[float, int], ...]
"""Median year and code of each generation, the oldest first."""
Codes: TypeAlias = int | Generations


@dataclasses.dataclass(frozen=True, slots=True)
class CodedCars:
    """Cars as codes (n, len(KEYS)) and numbers (n, len(NUMBERS)), NaN where missing.

    `words` has the known words of the edition by the position of the car; cars without known words
    are absent.
    """

    codes: IntArray
    numbers: FloatArray
    words: Mapping[int, Words]

    def take(self, rows: IntArray) -> Self:
        """A copy with the cars in `rows`, which may repeat."""
        words = {}
        if self.words:
            has_words = np.zeros(len(self.codes), dtype=np.bool_)
            has_words[list(self.words)] = True
            places = np.flatnonzero(has_words[rows])
            found = map(self.words.__getitem__, rows[places].tolist())
            words = dict(zip(places.tolist(), found, strict=True))
        return type(self)(self.codes[rows], self.numbers[rows], words)


class CarOrdinalEncoder:
    """Encodes the car's fields as integers; 0 is "missing or not seen in training"."""

    def __init__(
        self,
        vocabularies: Mapping[str, Sequence[Any]],
        vehicles: Sequence[tuple[str, str]],
        vehicle_years: Sequence[float],
        specs: Sequence[tuple[str, str, str, str]],
        words: Iterable[str] = (),
    ) -> None:
        self.vocabularies = {
            key: {value: code for code, value in enumerate(vocabularies.get(key, ()), start=1)}
            for key in COLUMN_KEYS
        }
        self._codes_by_value = [
            (_COLUMN_OF.get(key, key), _codes_by_value(key, words))
            for key, words in self.vocabularies.items()
        ]
        self._code_getters = [words.get for _, words in self._codes_by_value]
        self._vehicles = VehicleIndex(vehicles, vehicle_years)
        self.sizes = {key: len(words) + 1 for key, words in self.vocabularies.items()}
        self.sizes |= {
            "year": len(YEARS) + 1,
            VEHICLE: len(vehicles) + 1,
            SPEC: len(specs) + 1,
        }
        self._brands = {
            key_index: [
                0,
                *(self._codes_by_value[key_index][1].get(name, 0) for name, _ in vehicles),
            ]
            for key_index in _BRAND_KEYS
        }
        """By brand key: the code of each vehicle's brand in the statistics, by vehicle code."""
        self._brand_arrays = {
            key_index: np.array(codes) for key_index, codes in self._brands.items()
        }
        self._specs = self._spec_codes(vehicles, specs)
        self._words = frozenset(words)
        self._known_words_of = lru_cache(_MAX_CACHE_SIZE)(self._find_words)

    def _spec_codes(
        self,
        vehicles: Sequence[tuple[str, str]],
        specs: Sequence[tuple[str, str, str, str]],
    ) -> IntArray:
        """Code of a spec by the codes of vehicle, fuel and transmission."""
        shape = [self.sizes[key] for key in (VEHICLE, "fuel", "transmission")]
        found = np.zeros(shape, dtype=np.int64)
        vehicle_codes = {pair: code for code, pair in enumerate(vehicles, start=1)}
        fuels, gearboxes = self.vocabularies["fuel"], self.vocabularies["transmission"]
        for code, (company, model, fuel, gearbox) in enumerate(specs, start=1):
            vehicle = vehicle_codes.get((company, model), 0)
            if vehicle:
                found[vehicle, fuels.get(fuel, 0), gearboxes.get(gearbox, 0)] = code
        return found

    def vehicle_code(self, company: str, model: str, year: float | None) -> int:
        """Code of the car's vehicle; 0 if it is unknown."""
        return self._vehicles.code(company, model, year)

    def generations(self) -> Iterator[tuple[int, int]]:
        """See `VehicleIndex.generations`."""
        return self._vehicles.generations()

    def spec_code(self, company: str, model: str, fuel: str, transmission: str) -> int:
        """Code of the spec with exactly these values; 0 if it is unknown."""
        fuel_code = self.vocabularies["fuel"].get(fuel, 0)
        gearbox_code = self.vocabularies["transmission"].get(transmission, 0)
        return int(self._specs[self.vehicle_code(company, model, None), fuel_code, gearbox_code])

    def spec_codes(self, vehicles: IntArray, fuels: IntArray, gearboxes: IntArray) -> IntArray:
        """Codes of specs (n,) by the codes of their parts; 0 where unknown."""
        return np.asarray(self._specs[vehicles, fuels, gearboxes])

    def code(self, columns: Mapping[str, Column], n: int) -> CodedCars:
        """Code `n` cars given as columns of normal-form values; absent columns are missing."""
        company, model = columns["company"], columns["model"]
        if isinstance(company, CategoricalColumn) and isinstance(model, CategoricalColumn):
            return self._code_arrays(columns, company, model, n)
        return self._code_lists(cast("Mapping[str, Sequence[Any]]", columns), n)

    def code_rows(self, rows: Sequence[Row]) -> CodedCars:
        """Code cars given as their values: faster than columns for very few cars."""
        n = len(rows)
        codes = np.array(list(map(self._codes_of_row, rows)), dtype=np.int64)
        numbers = np.array(list(map(_numbers_of, rows)), dtype=np.float64)
        return CodedCars(
            codes.reshape(n, len(KEYS)),
            numbers.reshape(n, len(NUMBERS)),
            self._known_words([row[_EDITION_FIELD] for row in rows]) if self._words else {},
        )

    def _codes_of_row(self, row: Row) -> list[int]:
        values = zip(self._code_getters, _key_values_of(row), strict=True)
        codes = [code_of(value, 0) for code_of, value in values]
        company, model, year = _names_of(row)
        vehicle = self._vehicles.code(company, model, year)
        if vehicle:
            for key_index, brand_codes in self._brands.items():
                codes[key_index] = brand_codes[vehicle]
        spec = self._specs.item(vehicle, codes[_FUEL], codes[_TRANSMISSION])
        codes += (_year_code(year), vehicle, spec)
        return codes

    def _code_lists(self, columns: Mapping[str, Sequence[Any]], n: int) -> CodedCars:
        """Encode columns given as lists: faster than arrays for few cars."""
        absent = (None,) * n
        numbers = np.array([columns.get(name, absent) for name in NUMBERS], dtype=np.float64)
        plain = [
            [words.get(value, 0) for value in columns.get(name, absent)] if words else [0] * n
            for name, words in self._codes_by_value
        ]
        years = [_year_code(year) for year in columns["year"]]
        names = (columns["company"], columns["model"], columns["year"])
        known = list(map(self._vehicles.code, *names))
        specs = self._specs[known, plain[_FUEL], plain[_TRANSMISSION]]
        for key_index, brand_codes in self._brands.items():
            plain[key_index] = [
                brand_codes[vehicle] if vehicle else code
                for vehicle, code in zip(known, plain[key_index], strict=True)
            ]
        codes = np.array([*plain, years, known, specs], dtype=np.int64)
        return CodedCars(codes.T, numbers.T, self._known_words(columns.get("edition", absent)))

    def _code_arrays(
        self,
        columns: Mapping[str, Column],
        company: CategoricalColumn,
        model: CategoricalColumn,
        n: int,
    ) -> CodedCars:
        """Encode columns given as arrays."""
        numbers = np.array([as_numbers(columns.get(name), n) for name in NUMBERS])
        codes = np.zeros((len(KEYS), n), dtype=np.int64)
        for key_index, (name, words) in enumerate(self._codes_by_value):
            if words and name in columns:
                codes[key_index] = as_codes(columns[name], words)
        years = numbers[_YEAR_NUMBER]
        codes[_YEAR] = _year_codes(years)
        codes[_VEHICLE] = self._vehicle_codes(company, model, years)
        codes[_SPEC] = self._specs[codes[_VEHICLE], codes[_FUEL], codes[_TRANSMISSION]]
        for key_index, brand_codes in self._brand_arrays.items():
            codes[key_index] = np.where(
                codes[_VEHICLE] > 0, brand_codes[codes[_VEHICLE]], codes[key_index]
            )
        return CodedCars(codes.T, numbers.T, self._known_words(columns.get("edition", ())))

    def _known_words(self, editions: Column) -> dict[int, Words]:
        if not self._words:
            return {}
        if isinstance(editions, CategoricalColumn):
            used = np.unique(editions.codes).tolist()
            of_code = {code: self._known_words_of(editions.values[code]) for code in used}
            stated = np.isin(editions.codes, [code for code in used if of_code[code]])
            return {at: of_code[editions.codes[at]] for at in np.flatnonzero(stated).tolist()}
        return {
            position: words
            for position, edition in enumerate(editions)
            if edition and (words := self._known_words_of(edition))
        }

    def _find_words(self, edition: str | None) -> Words:
        return tuple(word for word in tokenize_edition(edition) if word in self._words)

    def _vehicle_codes(
        self, company: CategoricalColumn, model: CategoricalColumn, years: FloatArray
    ) -> IntArray:
        """Each pair of names is looked up once, however many cars have it."""
        if company.codes is model.codes:
            # Both columns code the pairs.
            names: Iterable[tuple[str, str]]
            pairs, pair_of_car = distinct_codes(company.codes, len(company.values))
            names = ((company.values[pair], model.values[pair]) for pair in pairs.tolist())
        else:
            keys = company.codes * len(model.values) + model.codes
            _, first, pair_of_car = np.unique(keys, return_index=True, return_inverse=True)
            names = zip(company.values_at(first), model.values_at(first), strict=True)
        known = [self._vehicles.codes(*pair) for pair in names]
        plain = [codes if isinstance(codes, int) else -1 for codes in known]
        found = np.array(plain, dtype=np.int64)[pair_of_car]
        for at in np.flatnonzero(found < 0).tolist():
            found[at] = generation_for_year(cast("Generations", known[pair_of_car[at]]), years[at])
        return found


def _codes_by_value(key: str, code_of: Mapping[Any, int]) -> Mapping[Any, int]:
    """The codes of a key by the values of its column."""
    if key != BRAND_CLASS:
        return code_of
    return {brand: code_of[name] for brand, name in BRAND_CLASSES.items() if name in code_of}


def tokenize_edition(edition: str | None) -> list[str]:
    """The words of an edition, each once, in order.

    >>> tokenize_edition("1.5 dci laureate 1.5")
    ['1.5', 'dci', 'laureate']
    """
    return list(dict.fromkeys((edition or "").replace(SEPARATOR, " ").split()))


def _year_code(year: float | None) -> int:
    if year is None or year != year:  # noqa: PLR0124 - NaN
        return 0
    return int(min(max(year, FIRST_YEAR), LAST_YEAR)) - FIRST_YEAR + 1


def _year_codes(years: FloatArray) -> IntArray:
    known = np.clip(np.nan_to_num(years), FIRST_YEAR, LAST_YEAR)
    return np.where(np.isnan(years), 0, known.astype(np.int64) - FIRST_YEAR + 1)


def ordinal_encoder_for(model: HedonicModel) -> CarOrdinalEncoder:
    """An encoder for every value that occurs in a cell of `model`."""
    words: dict[str, set[str]] = {key: set() for key in (*COLUMN_KEYS, SPEC, WORD)}
    for term in model.terms:
        for cell in model.cells[term.name]:
            for key, value in zip(term.keys, split_cell_key(cell, term.keys), strict=True):
                if key in words and value.strip(SEPARATOR):
                    words[key].add(value)
                if key == SPEC:
                    _, _, fuel, gearbox = value.split(SEPARATOR)
                    words["fuel"].add(fuel)
                    words["transmission"].add(gearbox)
    vocabularies = {
        key: [int(v) if key in _INTEGER_KEYS else v for v in sorted(words[key] - {""})]
        for key in COLUMN_KEYS
    }
    vehicles = [split_vehicle(vehicle) for vehicle in model.vehicle_years]
    specs = [_split_spec(spec) for spec in sorted(words[SPEC])]
    years = list(model.vehicle_years.values())
    return CarOrdinalEncoder(vocabularies, vehicles, years, specs, words[WORD])


def split_cell_key(cell: str, keys: Sequence[str]) -> list[str]:
    """The value of each key in a cell's key; a derived key keeps its parts joined.

    >>> split_cell_key("dacia|logan|2018", ["vehicle", "year"])
    ['dacia|logan', '2018']
    """
    values = cell.split(SEPARATOR)
    found = []
    for key in keys:
        width = len(KEY_COLUMNS.get(key, (key,)))
        found.append(SEPARATOR.join(values[:width]))
        values = values[width:]
    return found


def _split_spec(spec: str) -> tuple[str, str, str, str]:
    company, model, fuel, gearbox = spec.split(SEPARATOR)
    return company, model, fuel, gearbox


def cell_value_code(key: str, value: str, ordinal_encoder: CarOrdinalEncoder) -> int:
    """Code of a value in a cell's key."""
    if key == VEHICLE:
        return ordinal_encoder.vehicle_code(*split_vehicle(value), None)
    if key == SPEC:
        return ordinal_encoder.spec_code(*_split_spec(value))
    if value == "":
        return 0
    if key == "year":
        return int(value) - FIRST_YEAR + 1
    return ordinal_encoder.vocabularies[key][int(value) if key in _INTEGER_KEYS else value]


def generation_for_year(generations: Generations, year: float | None) -> int:
    """Code of the generation sold in a year; of the newest if the year is missing."""
    if year is None:
        return generations[-1][1]
    return min(generations, key=lambda each: abs(each[0] - year))[1]


class VehicleIndex:
    """Finds the code of a vehicle by its canonical name; 0 for an unknown vehicle.

    A name that the vehicles do not have is read again (`shared.vehicles.names`), so that vehicles
    with other names than the catalogue's are found too. A name of the catalogue is never taken for
    a shorter one, except without the number of its generation.

    Args:
        vehicles: the known (company, model) pairs; the i-th has code i + 1.
        years: the median year of each; selects the generation ("golf" of 2016 is "golf 7").
    """

    def __init__(self, vehicles: Sequence[tuple[str, str]], years: Sequence[float]) -> None:
        self._codes = {pair: code for code, pair in enumerate(vehicles, start=1)}
        self._compact = {
            (company, model.replace(" ", "")): code
            for (company, model), code in self._codes.items()
        }
        self._generations = _generations(self._codes, years)
        self._canonical: dict[tuple[str, str], int] = {}
        """Codes by the names that the catalogue has for the vehicles."""
        self._own_names: set[tuple[str, str]] = set()
        """Vehicles that the catalogue does not know."""
        for pair, code in self._codes.items():
            if (reading := _read_certain(*pair)) is None:
                self._own_names.add(pair)
            else:
                self._canonical.setdefault((reading.company, reading.model), code)
        self.codes: Callable[[str, str], Codes] = lru_cache(_MAX_CACHE_SIZE)(self._find)
        """Code of a vehicle, 0 if unknown; the codes of all generations if it has several."""

    def code(self, company: str, model: str, year: float | None) -> int:
        """Code of the vehicle; 0 if it is unknown."""
        found = self.codes(company, model)
        return found if isinstance(found, int) else generation_for_year(found, year)

    def generations(self) -> Iterator[tuple[int, int]]:
        """Code of each vehicle that has generations in the catalogue, and code of each of these.

        Only some listings state the generation: "golf" is a vehicle beside "golf 7".
        """
        for (company, name), code in self._codes.items():
            if (match := _GENERATION.match(name)) is None or not is_generation(company, name):
                continue
            if model := self._codes.get((company, match[1])):
                yield model, code

    def _find(self, company: str, model: str) -> Codes:
        if found := self._exact_match(company, model):
            return found
        if (reading := _read_certain(company, model)) is None:
            return self._find_own_name(company, model)
        pair = (reading.company, reading.model)
        if found := self._exact_match(*pair) or self._canonical.get(pair, 0):
            return found
        if is_generation(*pair):
            return self._exact_match(reading.company, reading.model.rpartition(" ")[0])
        return 0

    def _find_own_name(self, company: str, model: str) -> Codes:
        """Code of the longest name that `model` begins with and the catalogue does not know."""
        words = model.split(" ")
        for length in range(len(words) - 1, 0, -1):
            pair = (company, " ".join(words[:length]))
            if pair in self._own_names:
                return self._codes[pair]
        return 0

    def _exact_match(self, company: str, name: str) -> Codes:
        """Code, or codes of all generations, of a name in the statistics; 0 if it is unknown."""
        pair = (company, name)
        if pair in self._codes:
            return self._codes[pair]
        if pair in self._generations:
            return self._generations[pair]
        return self._compact.get((company, name.replace(" ", "")), 0)


def _read_certain(company: str, model: str) -> NameReading | None:
    """What the names are known to mean; None if they are unknown, ambiguous or blank."""
    try:
        reading = read_names(company, model)
    except NamesMissing:
        return None
    is_certain = reading.match not in {Match.AMBIGUOUS, Match.UNKNOWN}
    return reading if is_certain else None


def _generations(
    codes: Mapping[tuple[str, str], int], years: Sequence[float]
) -> dict[tuple[str, str], Generations]:
    """Codes of the generations "name 1", "name 2" of a model, by median year.

    Numbers in the catalogue's other names are no generations: "serie 1" and "serie 3" are two cars.
    """
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for (company, model), code in codes.items():
        reading = _read_certain(company, model)
        if reading is not None and not is_generation(reading.company, reading.model):
            continue
        if (match := _GENERATION.match(model)) is not None:
            found.setdefault((company, match[1]), []).append((years[code - 1], code))
    return {pair: tuple(sorted(g)) for pair, g in found.items() if len(g) > 1}
