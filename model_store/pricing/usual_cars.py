"""What is usual for a car that does not state its fuel, gearbox or kilometres.

A kind is a pair of fuel and gearbox. The shares of the kinds come from counts of listings by
vehicle and year of registration: close years count more, and few listings are completed by those of
all years, of the brand and of the market. What the car does state (fiscal power, kilometres, the
other half of the kind) changes the shares by Bayes' rule. The usual kilometres are the median of
the car's age, times a factor of the vehicle and one of the kind.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from data.hedonic.model import FIRST_YEAR, LAST_YEAR, SEPARATOR, YEARS, split_vehicle
from data.hedonic.ordinal_encoder import KEYS, NUMBERS, CarOrdinalEncoder, CodedCars
from shared.domain.car import Fuel, Transmission

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

KINDS: tuple[tuple[str, str], ...] = tuple(
    (str(fuel), str(gearbox)) for fuel, gearbox in product(Fuel, Transmission)
)
"""Fuel and gearbox of each kind."""
KIND_NAMES = tuple(map(SEPARATOR.join, KINDS))
_NUMBER_OF_KIND = {name: number for number, name in enumerate(KIND_NAMES)}
FUEL_OF_KIND = np.repeat(np.arange(len(Fuel)), len(Transmission))
GEARBOX_OF_KIND = np.tile(np.arange(len(Transmission)), len(Fuel))
"""Number of each kind's fuel and gearbox, in the order of their definition."""

MIN_SHARE = 0.02
"""Kinds with a smaller share are left out of mixtures."""
MAX_AGE = 30
"""Ages above count as this one, years."""
AGE_BANDS = (0, 2, 4, 7, 10, 14, 19)
"""Lower bounds of the age bands of the spread of kilometres, years."""

_NEAR_YEARS = 1.5
_LONG_YEARS = 6.0
"""Years over which the weight of a listing falls by the factor e."""
_BRAND_PRIOR = 20.0
_LONG_PRIOR = 1.0
"""Most brands have kinds that a model of theirs lacks: with more, the shares of a model predict
those of its other listings worse, be there one or eight of them."""
_VEHICLE_PRIOR = 10.0
_POWER_PRIOR = 3.0
"""Weights of the more general shares as numbers of listings."""
_LONG_PRIOR_OF_SCHEMA_6 = 10.0
"""Weight of the shares of the brand in versions of which no known kinds are stored."""
_INDEPENDENT_PRIOR = 1.0
"""Weight of "fuel and gearbox are independent" in the shares of the market."""
_MAX_DEVIATIONS = 2.5
"""Kilometres further from the usual ones tell no more about the kind."""

_COMPANY, _VEHICLE, _YEAR = (KEYS.index(key) for key in ("company", "vehicle", "year"))
_KM, _POWER = NUMBERS.index("km_driven"), NUMBERS.index("fiscal_power_cv")
_MAX_POWER = 100
"""Fiscal powers above tell nothing about the kind."""

Counts = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UsualStatistics:
    """Statistics of the training listings, as stored in `usual.json`.

    Args:
        kinds: listings by vehicle (`company|model`; `company|` for its rare models, `|` for rare
            brands), name of the kind, and year of registration.
        powers: listings by vehicle, name of the kind, and fiscal power.
        km_by_age: median kilometres at ages 0 to `MAX_AGE`; empty if no listing states any.
        km_by_vehicle: log of the vehicle's kilometres over the median of their age.
        km_by_kind: the same by name of the kind, over the vehicle's.
        km_spread: log distance of the 16 % and the 84 % quantile of the kilometres from the usual
            ones, by age band.
        known_kinds: names of all kinds of each vehicle of which it is known that it has no others.
            None in versions of schema 6 and before, in which kilometres tell about the kind.
        new_kinds: versions of new cars, as `kinds`; they count as listings of that year.
        kept_kinds: by vehicle and year, the weight with which the shares of the kinds are those of
            the year before: a newer car is not cheaper because its usual kind is a cheaper one.
        new_car_years: by vehicle, the first year from which prices of new cars tell the price, as
            listings do.
        listed_years: by vehicle, first and last year of each run of years that its listings cover
            (`data.market.distributions.listed_years`). None in versions of earlier releases.
    """

    kinds: Counts
    powers: Counts
    km_by_age: tuple[float, ...]
    km_by_vehicle: Mapping[str, float]
    km_by_kind: Mapping[str, float]
    km_spread: tuple[tuple[float, float], ...]
    known_kinds: Mapping[str, Sequence[str]] | None = None
    new_kinds: Counts = dataclasses.field(default_factory=dict)
    kept_kinds: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    new_car_years: Mapping[str, int] = dataclasses.field(default_factory=dict)
    listed_years: Mapping[str, Sequence[Sequence[int]]] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def averages(self, year: int) -> dict[str, float]:
        """Mean year of registration, and mean of the usual kilometres, of the training listings.

        Args:
            year: in which a car registered in it has the age 0.
        """
        counts: dict[int, float] = {}
        for of_kind in self.kinds.values():
            for of_year in of_kind.values():
                for registered, count in of_year.items():
                    counts[int(registered)] = counts.get(int(registered), 0.0) + count
        if not (total := sum(counts.values())):
            return {}
        found = {"year": sum(each * count for each, count in counts.items()) / total}
        if self.km_by_age:
            ages = {each: min(max(year - each, 0), MAX_AGE) for each in counts}
            km = sum(self.km_by_age[ages[each]] * count for each, count in counts.items())
            found["km_driven"] = km / total
        return found

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        spread = tuple((low, high) for low, high in given["km_spread"])
        parsed: dict[str, Any] = {"km_by_age": tuple(given["km_by_age"]), "km_spread": spread}
        if (known := given.get("known_kinds")) is not None:
            parsed["known_kinds"] = {name: tuple(kinds) for name, kinds in known.items()}
        return cls(**{**given, **parsed})


class UsualCars:
    """Shares of the kinds and usual kilometres of coded cars.

    A car has the same shares and kilometres, to the bit, alone and in any group.

    Args:
        statistics: of the training listings.
        ordinal_encoder: of the model that prices the cars.
        year: in which a car registered in it has the age 0.

    Attributes:
        knows_kinds: whether a listing states a kind.
        knows_km: whether a listing states its kilometres.
    """

    def __init__(
        self,
        statistics: UsualStatistics,
        ordinal_encoder: CarOrdinalEncoder,
        year: int,
    ) -> None:
        self.knows_kinds = bool(statistics.kinds)
        self.knows_km = bool(statistics.km_by_age)
        self._vehicles = ordinal_encoder.sizes["vehicle"]
        self._shares = _shares(statistics, ordinal_encoder)
        self._km_tell_kind = self.knows_km and statistics.known_kinds is None
        powers = counted_cells(statistics.powers, ordinal_encoder)
        self._power_codes = _power_codes(powers)
        self._powers = _power_likelihoods(powers, self._vehicles, self._power_codes)
        ages = np.clip(year - np.array([YEARS[0], *YEARS]), 0, MAX_AGE)
        self._age_of_year = ages.astype(np.int64)
        if self.knows_km:
            bands = np.searchsorted(AGE_BANDS, np.arange(MAX_AGE + 1), side="right") - 1
            self._km_by_age = np.array(statistics.km_by_age)
            self._spread = np.array(statistics.km_spread)[bands]
            self._vehicle_factor = _km_factors(statistics, ordinal_encoder)
            by_kind = statistics.km_by_kind
            self._kind_factor = np.exp([by_kind.get(name, 0.0) for name in KIND_NAMES])

    @property
    def shares_by_year(self) -> FloatArray:
        """Shares of the kinds (vehicles, years, kinds) of cars that state neither half of it."""
        return self._shares[: self._vehicles]

    def shares(self, cars: CodedCars, is_possible: npt.NDArray[np.bool_]) -> FloatArray:
        """Shares of the kinds (n, kinds); they sum to 1.

        Args:
            cars: the coded cars.
            is_possible: (n, kinds) whether the kind has what the car states of it.
        """
        codes = cars.codes
        vehicle = codes[:, _VEHICLE]
        place = np.where(vehicle > 0, vehicle, self._vehicles + codes[:, _COMPANY])
        shares = self._shares[place, np.maximum(codes[:, _YEAR], 1) - 1]
        stated = cars.numbers[:, _POWER]
        power = np.where((stated > 0) & (stated <= _MAX_POWER), stated, 0.0).astype(np.int64)
        shares = shares * self._powers[vehicle, self._power_codes[power]]
        if self._km_tell_kind:
            shares *= self._km_likelihood(cars)
        shares = _of_possible_kinds(shares, is_possible)
        return np.asarray(shares / row_sums(shares)[:, None])

    def km(self, cars: CodedCars) -> tuple[FloatArray, FloatArray]:
        """Usual kilometres by kind (n, kinds), and their spread (n, 2), see `km_spread`."""
        age = self._age_of_year[cars.codes[:, _YEAR]]
        base = self._km_by_age[age] * self._vehicle_factor[cars.codes[:, _VEHICLE]]
        return base[:, None] * self._kind_factor, self._spread[age]

    def high_km(self, deviations: float) -> FloatArray:
        """Kilometres far above the usual ones, by the codes of vehicle and year (… , years + 1).

        Args:
            deviations: distance from the usual ones in those of their 84 % quantile, log scale.
        """
        age = self._age_of_year
        high = self._km_by_age[age] * np.exp(deviations * self._spread[age, 1])
        return np.asarray(self._vehicle_factor[:, None] * high)

    def _km_likelihood(self, cars: CodedCars) -> FloatArray:
        """Likelihood of the stated kilometres by kind (n, kinds); 1 where none are stated.

        A single column if no car states any.
        """
        stated = cars.numbers[:, _KM]
        if not (stated > 0).any():
            return np.ones((len(stated), 1))
        usual, spread = self.km(cars)
        width = (spread[:, 1] - spread[:, 0]) / 2.0
        known = np.where(stated > 0, stated, usual[:, 0])
        deviation = np.log(known[:, None] / usual) / width[:, None]
        deviation = np.clip(deviation, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
        likelihood = np.exp(-0.5 * deviation**2)
        return np.where((stated > 0)[:, None], likelihood, 1.0)


def kind_codes(ordinal_encoder: CarOrdinalEncoder) -> IntArray:
    """Codes of fuel and gearbox of each kind, (kinds, 2)."""
    codes = [ordinal_encoder.vocabularies[name] for name in ("fuel", "transmission")]
    return np.array(
        [[code.get(value, 0) for code, value in zip(codes, kind, strict=True)] for kind in KINDS]
    )


def _of_possible_kinds(shares: FloatArray, is_possible: npt.NDArray[np.bool_]) -> FloatArray:
    """Shares (n, kinds) without those of other kinds than what the cars state.

    A car may state a fuel or a gearbox that its vehicle does not have: the other half of its kind
    is then as usual for the vehicle.
    """
    found = shares * is_possible
    is_unknown = np.flatnonzero(row_sums(found) == 0.0)
    if len(is_unknown):
        shape = (len(is_unknown), len(Fuel), len(Transmission))
        table, possible = shares[is_unknown].reshape(shape), is_possible[is_unknown].reshape(shape)
        fuel, gearbox = table.sum(axis=2, keepdims=True), table.sum(axis=1, keepdims=True)
        states_fuel = ~np.all(possible.any(axis=2), axis=1)[:, None, None]
        states_gearbox = ~np.all(possible.any(axis=1), axis=1)[:, None, None]
        usual = np.where(states_fuel, 1.0, fuel) * np.where(states_gearbox, 1.0, gearbox)
        found[is_unknown] = (usual * possible).reshape(len(is_unknown), -1)
    return np.asarray(found)


def row_sums(table: FloatArray) -> FloatArray:
    """Sum of each row, added from left to right in every group of rows."""
    # `np.sum` adds in another order in longer rows.
    return np.asarray(np.add.accumulate(table, axis=1)[:, -1])


class CountedCells(NamedTuple):
    """Counts of listings as arrays (cells,), in the order of the counts."""

    vehicle: IntArray
    """Code of the vehicle; -1 for the rare models of a brand, and for rare brands."""
    brand: IntArray
    """Code of its brand."""
    kind: IntArray
    """Number of the kind."""
    number: IntArray
    """Year of registration, or fiscal power."""
    listings: FloatArray

    @property
    def place(self) -> IntArray:
        """Place of the year among `YEARS`; earlier and later ones count for the nearest."""
        return np.clip(self.number, FIRST_YEAR, LAST_YEAR) - FIRST_YEAR


def counted_cells(counts: Counts, ordinal_encoder: CarOrdinalEncoder) -> CountedCells:
    """The cells of some counts, with the codes of an encoder."""
    brands = ordinal_encoder.vocabularies["company"]
    groups: list[tuple[int, int, int, int]] = []
    numbers: list[int] = []
    found: list[float] = []
    for name, of_kind in counts.items():
        company, model = split_vehicle(name)
        vehicle = ordinal_encoder.vehicle_code(company, model, None) if model else -1
        brand = brands.get(company, 0)
        for kind, of_number in of_kind.items():
            groups.append((vehicle, brand, _NUMBER_OF_KIND[kind], len(of_number)))
            numbers.extend(map(int, of_number))
            found.extend(of_number.values())
    table = np.array(groups, dtype=np.int64).reshape(-1, 4)
    vehicles, brand_codes, kinds = np.repeat(table[:, :3], table[:, 3], axis=0).T
    return CountedCells(
        vehicles,
        brand_codes,
        kinds,
        np.array(numbers, dtype=np.int64),
        np.array(found, dtype=np.float64),
    )


def _shares(statistics: UsualStatistics, ordinal_encoder: CarOrdinalEncoder) -> FloatArray:
    """Shares of the kinds (vehicles + companies, years, kinds) by the codes of both.

    The first vehicle is unused; the first company has the shares of the market.
    """
    vehicles, companies = (ordinal_encoder.sizes[key] for key in ("vehicle", "company"))
    of_vehicle = np.zeros((vehicles, len(YEARS), len(KINDS)))
    of_company = np.zeros((companies, len(YEARS), len(KINDS)))
    market = np.zeros((len(YEARS), len(KINDS)))
    brand_of = np.zeros(vehicles, dtype=np.int64)
    for counts in (statistics.kinds, statistics.new_kinds):
        cells = counted_cells(counts, ordinal_encoder)
        codes, place = np.maximum(cells.vehicle, 0), cells.place
        np.add.at(of_vehicle, (codes, place, cells.kind), cells.listings)
        np.add.at(of_company, (cells.brand, place, cells.kind), cells.listings)
        np.add.at(market, (place, cells.kind), cells.listings)
        brand_of[codes] = cells.brand
    usual = _with_prior(_smoothed(market, _NEAR_YEARS), _independent(market), _INDEPENDENT_PRIOR)
    brands = _with_prior(_smoothed(of_company, _NEAR_YEARS), usual, _BRAND_PRIOR)
    brands[0] = usual
    prior = brands[brand_of]
    weight = _LONG_PRIOR_OF_SCHEMA_6 if statistics.known_kinds is None else _LONG_PRIOR
    for vehicle, kinds in _known_kinds(statistics, ordinal_encoder):
        of_vehicle[vehicle] *= kinds
        prior[vehicle] *= kinds
        prior[vehicle] /= prior[vehicle].sum(axis=1, keepdims=True)
    long = _with_prior(_smoothed(of_vehicle, _LONG_YEARS), prior, weight)
    near = _with_prior(_smoothed(of_vehicle, _NEAR_YEARS), long, _VEHICLE_PRIOR)
    for name, by_year in statistics.kept_kinds.items():
        of_name = near[ordinal_encoder.vehicle_code(*split_vehicle(name), None)]
        for at, kept in sorted((int(year) - FIRST_YEAR, by_year[year]) for year in by_year):
            of_name[at] = kept * of_name[at - 1] + (1.0 - kept) * of_name[at]
    return np.concatenate([near, brands])


def _known_kinds(
    statistics: UsualStatistics, ordinal_encoder: CarOrdinalEncoder
) -> Iterator[tuple[int, FloatArray]]:
    """Code of each vehicle whose kinds are known, and 1 for each of its kinds, else 0 (kinds,)."""
    for name, kinds in (statistics.known_kinds or {}).items():
        vehicle = ordinal_encoder.vehicle_code(*split_vehicle(name), None)
        if vehicle and kinds:
            yield vehicle, np.isin(KIND_NAMES, kinds).astype(np.float64)


def _smoothed(counts: FloatArray, years: float) -> FloatArray:
    """Counts (…, years, kinds) in which those of other years count less the further they are."""
    decay = np.exp(-1.0 / years)
    forward, backward = counts.copy(), counts.copy()
    for place in range(1, counts.shape[-2]):
        forward[..., place, :] += decay * forward[..., place - 1, :]
        backward[..., -1 - place, :] += decay * backward[..., -place, :]
    return forward + backward - counts


def _independent(counts: FloatArray) -> FloatArray:
    """Shares (kinds,) as if fuel and gearbox were independent; none is zero."""
    table = counts.sum(axis=0).reshape(len(Fuel), len(Transmission)) + 0.01
    return np.asarray((table.sum(axis=1)[:, None] * table.sum(axis=0) / table.sum() ** 2).ravel())


def _with_prior(counts: FloatArray, prior: FloatArray, weight: float | FloatArray) -> FloatArray:
    """Shares by the counts and `weight` listings with the shares `prior`."""
    total = counts + weight * prior
    return np.asarray(total / total.sum(axis=-1, keepdims=True))


def _power_codes(cells: CountedCells) -> IntArray:
    """Codes of the fiscal powers 0 to `_MAX_POWER`; 0 for those that no listing states."""
    codes = np.zeros(_MAX_POWER + 1, dtype=np.int64)
    powers = cells.number
    known = np.unique(powers[(powers > 0) & (powers <= _MAX_POWER)])
    codes[known] = np.arange(1, len(known) + 1)
    return codes


def _power_likelihoods(cells: CountedCells, vehicles: int, codes: IntArray) -> FloatArray:
    """Share of each fiscal power among the listings of a kind, (vehicles, powers, kinds).

    By the codes of vehicle and power, relative to its share among all kinds of the vehicle; 1 for a
    power that is not stated.
    """
    found = np.zeros((vehicles, codes.max() + 1, len(KINDS)))
    power = cells.number
    code = np.where(power <= _MAX_POWER, codes[np.clip(power, 0, _MAX_POWER)], 0)
    # The first vehicle has the counts of the market.
    np.add.at(found[0], (code, cells.kind), cells.listings)
    own = (cells.vehicle >= 0) & (code > 0)
    np.add.at(found, (cells.vehicle[own], code[own], cells.kind[own]), cells.listings[own])
    found[:, 0] = 0.0
    market = found[0].sum(axis=1)
    market = (market + 1e-3) / (market + 1e-3).sum()
    of_all = found.sum(axis=2) + _POWER_PRIOR * market
    of_all /= of_all.sum(axis=1, keepdims=True)
    within = found + _POWER_PRIOR * of_all[:, :, None]
    within /= within.sum(axis=1, keepdims=True)
    likelihood = within / of_all[:, :, None]
    likelihood[:, 0] = 1.0
    return np.asarray(likelihood)


def _km_factors(statistics: UsualStatistics, ordinal_encoder: CarOrdinalEncoder) -> FloatArray:
    """Kilometres of each vehicle over the median of their age, by its code."""
    factors = np.ones(ordinal_encoder.sizes["vehicle"])
    for name, factor in statistics.km_by_vehicle.items():
        factors[ordinal_encoder.vehicle_code(*split_vehicle(name), None)] = np.exp(factor)
    factors[0] = 1.0
    return factors
