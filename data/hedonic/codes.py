"""Cars as small integers: what a hedonic model's cells are found by."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

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
)
from data.vehicles.columns import CategoricalColumn, Column, as_codes, as_numbers
from data.vehicles.index import Generations, VehicleBrands, VehicleIndex, generation_for_year

EXOTIC, PREMIUM, BUDGET = "exotic", "premium", "budget"

_MEMBERS: Mapping[str, tuple[str, ...]] = {
    EXOTIC: (
        "aston martin", "bentley", "bugatti", "ferrari", "koenigsegg", "lamborghini", "lotus",
        "maserati", "maybach", "mclaren", "pagani", "porsche", "rolls royce",
    ),
    PREMIUM: (
        "acura", "alpine", "audi", "bmw", "cadillac", "genesis", "gmc", "hummer", "infiniti",
        "jaguar", "land rover", "lexus", "lincoln", "lucid", "lynk co", "mercedes benz", "nio",
        "polestar", "ram", "rivian", "tesla", "volvo", "xpeng", "zeekr",
    ),
    BUDGET: (
        "baic", "brilliance", "byd", "chana", "changan", "chery", "daewoo", "dfm", "dfsk",
        "dongfeng", "faw", "foton", "gaz", "geely", "great wall", "gwm", "hafei", "haima",
        "jac", "jmc", "lada", "lifan", "mahindra", "proton", "tata", "uaz", "wuling", "zotye",
    ),
}  # fmt: skip

BRAND_CLASSES: Mapping[str, str] = {
    brand: name for name, brands in _MEMBERS.items() for brand in brands
}
"""The class by the folded name of the brand."""


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
"""The column of a key that is none itself."""
_INTEGER_KEYS = frozenset({"fiscal_power_cv", "doors", "year"})
_MAX_CACHE_SIZE = 100_000

Words = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class CodedCars:
    """Cars as codes (n, len(KEYS)) and numbers (n, len(NUMBERS)), NaN where missing.

    `words` holds the known words of the edition by the position of the car; cars without any do
    not stand there.
    """

    codes: IntArray
    numbers: FloatArray
    words: Mapping[int, Words]


class CarOrdinalEncoder:
    """Turns the car's fields into small integers; 0 is "missing or never seen"."""

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
        self._vehicles = VehicleIndex(vehicles, vehicle_years)
        self.sizes = {key: len(words) + 1 for key, words in self.vocabularies.items()}
        self.sizes |= {
            "year": len(YEARS) + 1,
            VEHICLE: len(vehicles) + 1,
            SPEC: len(specs) + 1,
        }
        own = {place: self._codes_by_value[place][1] for place in _BRAND_KEYS}
        self._brands = VehicleBrands(vehicles, own)
        self._specs = self._spec_codes(vehicles, specs)
        self._words = frozenset(words)
        self._editions: dict[str | None, Words] = {}

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

    def code(self, columns: Mapping[str, Column], n: int) -> CodedCars:
        """Code `n` cars given as columns of normal-form values; absent columns are missing."""
        company, model = columns["company"], columns["model"]
        if isinstance(company, CategoricalColumn) and isinstance(model, CategoricalColumn):
            return self._code_arrays(columns, company, model, n)
        return self._code_lists(cast("Mapping[str, Sequence[Any]]", columns), n)

    def _code_lists(self, columns: Mapping[str, Sequence[Any]], n: int) -> CodedCars:
        """Columns as lists: for few cars they beat every array."""
        absent = (None,) * n
        numbers = np.array([columns.get(name, absent) for name in NUMBERS], dtype=np.float64)
        plain = [
            [words.get(value, 0) for value in columns.get(name, absent)] if words else [0] * n
            for name, words in self._codes_by_value
        ]
        years = [_year_code(year) for year in columns["year"]]
        known = list(
            map(self._vehicles.code, columns["company"], columns["model"], columns["year"])
        )
        specs = self._specs[known, plain[_FUEL], plain[_TRANSMISSION]]
        self._brands.correct_lists(plain, known)
        codes = np.array([*plain, years, known, specs], dtype=np.int64)
        return CodedCars(codes.T, numbers.T, self._known_words(columns.get("edition", absent)))

    def _code_arrays(
        self,
        columns: Mapping[str, Column],
        company: CategoricalColumn,
        model: CategoricalColumn,
        n: int,
    ) -> CodedCars:
        """Columns as arrays."""
        numbers = np.array([as_numbers(columns.get(name), n) for name in NUMBERS])
        codes = np.zeros((len(KEYS), n), dtype=np.int64)
        for place, (name, words) in enumerate(self._codes_by_value):
            if words and name in columns:
                codes[place] = as_codes(columns[name], words)
        years = numbers[_YEAR_NUMBER]
        codes[_YEAR] = _year_codes(years)
        codes[_VEHICLE] = self._vehicle_codes(company, model, years)
        codes[_SPEC] = self._specs[codes[_VEHICLE], codes[_FUEL], codes[_TRANSMISSION]]
        self._brands.correct_arrays(codes, codes[_VEHICLE])
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

    def _known_words_of(self, edition: str | None) -> Words:
        found = self._editions.get(edition)
        if found is None:
            found = tuple(word for word in tokenize_edition(edition) if word in self._words)
            if len(self._editions) >= _MAX_CACHE_SIZE:
                self._editions.clear()
            self._editions[edition] = found
        return found

    def _vehicle_codes(
        self, company: CategoricalColumn, model: CategoricalColumn, years: FloatArray
    ) -> IntArray:
        """Each pair of names is looked up once, however many cars have it."""
        pairs = company.codes * len(model.values) + model.codes
        _, first, place = np.unique(pairs, return_index=True, return_inverse=True)
        known = list(map(self._vehicles.codes, company.values_at(first), model.values_at(first)))
        plain = [codes if isinstance(codes, int) else -1 for codes in known]
        found = np.array(plain, dtype=np.int64)[place]
        for at in np.flatnonzero(found < 0).tolist():
            found[at] = generation_for_year(cast("Generations", known[place[at]]), years[at])
        return found


def _codes_by_value(key: str, words: Mapping[Any, int]) -> Mapping[Any, int]:
    """The codes of a key by the values of its column."""
    if key != BRAND_CLASS:
        return words
    return {brand: words[name] for brand, name in BRAND_CLASSES.items() if name in words}


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
    """The ordinal_encoder that knows every value that stands in a cell of `model`."""
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
    vehicles = [_split_vehicle(vehicle) for vehicle in model.vehicle_years]
    specs = [_split_spec(spec) for spec in sorted(words[SPEC])]
    years = list(model.vehicle_years.values())
    return CarOrdinalEncoder(vocabularies, vehicles, years, specs, words[WORD])


def split_cell_key(cell: str, keys: Sequence[str]) -> list[str]:
    """The value of each key in a cell's name; a derived key keeps its parts joined.

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


def _split_vehicle(vehicle: str) -> tuple[str, str]:
    company, model = vehicle.split(SEPARATOR)
    return company, model


def _split_spec(spec: str) -> tuple[str, str, str, str]:
    company, model, fuel, gearbox = spec.split(SEPARATOR)
    return company, model, fuel, gearbox


def cell_value_code(key: str, value: str, ordinal_encoder: CarOrdinalEncoder) -> int:
    """The code of a key's value as it stands in a cell's name."""
    if key == VEHICLE:
        return ordinal_encoder.vehicle_code(*_split_vehicle(value), None)
    if key == SPEC:
        return ordinal_encoder.spec_code(*_split_spec(value))
    if value == "":
        return 0
    if key == "year":
        return int(value) - FIRST_YEAR + 1
    return ordinal_encoder.vocabularies[key][int(value) if key in _INTEGER_KEYS else value]
