"""Prices cars that lack fuel, gearbox or kilometres as mixtures of complete cars.

Each such car is expanded into scenarios: its possible kinds (fuel and gearbox) by their shares, and
a low and a high usual mileage. The scenarios are priced as any car; the quantiles of the car are
those of the mixture of their distributions. So the price averages over what is usual for the car,
and the interval is as much wider as the missing fields matter.
"""

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt

from data.hedonic.kernels import find_incomplete
from data.hedonic.ordinal_encoder import (
    COLUMN_KEYS,
    KEYS,
    NUMBERS,
    CarOrdinalEncoder,
    CodedCars,
)
from model_store.pricing.feature_matrix import MISSING, CarEncoder, CodedFeatures
from model_store.pricing.kernels import mix_quantiles
from model_store.pricing.usual_cars import (
    FUEL_OF_KIND,
    GEARBOX_OF_KIND,
    KINDS,
    MIN_SHARE,
    UsualCars,
    UsualStatistics,
    kind_codes,
    row_sums,
)
from shared.domain.car import CATEGORIES, CarFeatures, Fuel, Transmission
from shared.domain.valuation import QUANTILE_LEVELS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_KINDS = 4
"""Kinds that a car is expanded into at most."""
_LEVELS = np.array(QUANTILE_LEVELS)
_MEDIAN = QUANTILE_LEVELS.index(0.50)
_SCORES = np.log(_LEVELS / (1.0 - _LEVELS))
_names = list(CATEGORIES)
_FUEL, _GEARBOX = _names.index("fuel"), _names.index("transmission")
_FUEL_KEY, _GEARBOX_KEY = COLUMN_KEYS.index("fuel"), COLUMN_KEYS.index("transmission")
_SPEC, _VEHICLE = KEYS.index("spec"), KEYS.index("vehicle")
_FUELS, _GEARBOXES = list(Fuel), list(Transmission)
_KM = NUMBERS.index("km_driven")
_PLACES = np.array([_FUEL, _GEARBOX, _KM])
"""Of `find_incomplete`."""


def mixed_quantiles(quantiles_log: FloatArray, weights: FloatArray, starts: IntArray) -> FloatArray:
    """Log prices (n, 9) of mixtures at `QUANTILE_LEVELS`; see `Scenarios`.

    Args:
        quantiles_log: (scenarios, 9) log prices at `QUANTILE_LEVELS`.
        weights: (scenarios,) of `Scenarios`.
        starts: (n + 1,) of `Scenarios`.
    """
    mixed = np.empty((len(starts) - 1, len(_LEVELS)))
    mix_quantiles(quantiles_log, weights, starts, _LEVELS, _SCORES, mixed)
    return mixed


def widen(quantiles_log: FloatArray, factors: FloatArray) -> None:
    """Widen the distributions of log prices (n, 9) around their medians, in place.

    Args:
        quantiles_log: at `QUANTILE_LEVELS`.
        factors: (n,) of the distances; a factor of 1 changes nothing, to the bit.
    """
    rows = np.flatnonzero(factors != 1.0)
    middle = quantiles_log[rows, _MEDIAN, None]
    quantiles_log[rows] = middle + factors[rows, None] * (quantiles_log[rows] - middle)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scenarios:
    """Complete cars that stand for cars with missing fields.

    Args:
        features: the scenarios, coded; those of one car follow each other.
        weights: (scenarios,) their shares; those of one car sum to 1.
        starts: (n + 1,) first scenario of each car, then the number of scenarios.
    """

    features: CodedFeatures
    weights: FloatArray
    starts: IntArray

    def mean(self, values: FloatArray) -> list[float]:
        """Weighted mean of the scenarios' values (scenarios, k) of a single car."""
        total = np.zeros(values.shape[1])
        for weight, row in zip(self.weights, values, strict=True):
            total += weight * row
        return total.tolist()

    def mix(self, quantiles_log: FloatArray, factors: FloatArray | None = None) -> FloatArray:
        """Log prices (n, 9) of the cars at `QUANTILE_LEVELS` from those of the scenarios.

        A car with a single scenario has that scenario's prices, to the bit.

        Args:
            quantiles_log: (scenarios, 9) log prices at `QUANTILE_LEVELS`.
            factors: (n,) of the width of each scenario of a car; None: all are 1. They do not
                change the price.
        """
        mixed = mixed_quantiles(quantiles_log, self.weights, self.starts)
        if factors is None:
            return mixed
        cars = np.flatnonzero(factors > 1.0)
        counts = np.diff(self.starts)[cars]
        starts = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.starts[cars] - starts[:-1], counts) + np.arange(starts[-1])
        wide = quantiles_log[rows]
        widen(wide, np.repeat(factors[cars], counts))
        found = mixed_quantiles(wide, self.weights[rows], starts)
        mixed[cars] = found + (mixed[cars, _MEDIAN] - found[:, _MEDIAN])[:, None]
        return mixed


class ScenarioExpander:
    """Expands cars with missing fields into scenarios.

    Args:
        usual: what is usual for a car.
        ordinal_encoder: of the model that prices the cars.
    """

    def __init__(self, usual: UsualCars, ordinal_encoder: CarOrdinalEncoder) -> None:
        self.usual = usual
        self._ordinal_encoder = ordinal_encoder
        self._kind_codes = kind_codes(ordinal_encoder)

    @classmethod
    def of(cls, statistics: UsualStatistics, encoder: CarEncoder, year: int) -> Self:
        """Lay out a model's statistics by the codes of its encoder; `year`: see `UsualCars`."""
        usual = UsualCars(statistics, encoder.ordinal_encoder, year)
        return cls(usual, encoder.ordinal_encoder)

    def expand_all(self, features: CodedFeatures) -> Scenarios:
        """As `expand`; a complete car is its only scenario."""
        if (found := self.expand(features)) is not None:
            return found
        n = len(features.lacks_details)
        return Scenarios(features=features, weights=np.ones(n), starts=np.arange(n + 1))

    def cars(self, car: CarFeatures, features: CodedFeatures) -> list[tuple[CarFeatures, float]]:
        """The scenarios of one car, and their shares.

        Args:
            car: the car.
            features: its codes.
        """
        scenarios = self.expand(features)
        if scenarios is None:
            return [(car, 1.0)]
        return [
            (self._completed(car, scenarios.features, at), weight)
            for at, weight in enumerate(scenarios.weights.tolist())
        ]

    def _completed(self, car: CarFeatures, features: CodedFeatures, at: int) -> CarFeatures:
        fuel, gearbox = (int(features.categories[at, column]) for column in (_FUEL, _GEARBOX))
        km = float(features.cars.numbers[at, _KM])
        return dataclasses.replace(
            car,
            fuel=car.fuel if fuel == MISSING else _FUELS[fuel],
            transmission=car.transmission if gearbox == MISSING else _GEARBOXES[gearbox],
            km_driven=car.km_driven if np.isnan(km) else round(km),
        )

    def expand(self, features: CodedFeatures) -> Scenarios | None:
        """The scenarios of a group of cars; None if no car lacks a field that can be completed."""
        lacks_kind, lacks_km = (np.empty(len(features.lacks_details), np.bool_) for _ in range(2))
        if not find_incomplete(
            features.categories,
            features.cars.numbers,
            _PLACES,
            self.usual.knows_kinds,
            self.usual.knows_km,
            lacks_kind,
            lacks_km,
        ):
            return None
        is_incomplete = lacks_kind | lacks_km
        (incomplete,) = is_incomplete.nonzero()
        n = len(is_incomplete)
        part = features if len(incomplete) == n else features.take(incomplete)
        kinds, shares = self._kinds(part)
        km, km_shares = self._km(part.cars, kinds, lacks_km[incomplete])
        shares = (shares[:, :, None] * km_shares[:, None, :]).reshape(len(kinds), -1)
        car, slot = shares.nonzero()
        counts = np.ones(n, dtype=np.int64)
        counts[incomplete] = np.bincount(car, minlength=len(kinds))
        starts = np.zeros(n + 1, dtype=np.int64)
        counts.cumsum(out=starts[1:])
        rows = np.arange(n).repeat(counts)
        (added,) = is_incomplete[rows].nonzero()
        weights = np.ones(len(rows))
        weights[added] = shares[car, slot]
        completed = features.take(rows)
        without = lacks_kind[incomplete][car]
        kind = kinds[car, slot // km.shape[2]]
        self._set_kinds(completed, added[without], kind[without])
        without = lacks_km[incomplete][car]
        values = km.reshape(len(kinds), -1)[car, slot]
        completed.cars.numbers[added[without], _KM] = values[without]
        return Scenarios(features=completed, weights=weights, starts=starts)

    def _kinds(self, features: CodedFeatures) -> tuple[IntArray, FloatArray]:
        """The most frequent possible kinds (n, MAX_KINDS) and their shares, 0 for unused ones."""
        is_possible = np.ones((len(features.lacks_details), len(KINDS)), dtype=np.bool_)
        for column, of_kind in ((_FUEL, FUEL_OF_KIND), (_GEARBOX, GEARBOX_OF_KIND)):
            stated = features.categories[:, column]
            is_possible &= (stated == MISSING)[:, None] | (stated[:, None] == of_kind)
        shares = self.usual.shares(features.cars, is_possible)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :MAX_KINDS]
        chosen = shares[np.arange(len(order))[:, None], order]
        chosen[:, 1:] = np.where(chosen[:, 1:] >= MIN_SHARE, chosen[:, 1:], 0.0)
        return order, chosen / row_sums(chosen)[:, None]

    def _km(
        self, cars: CodedCars, kinds: IntArray, lacks_km: BoolArray
    ) -> tuple[FloatArray, FloatArray]:
        """Low and high usual kilometres of each kind (n, MAX_KINDS, 2), and their shares (n, 2)."""
        if not self.usual.knows_km:
            return np.zeros((*kinds.shape, 1)), np.ones((len(kinds), 1))
        usual, spread = self.usual.km(cars)
        of_kind = usual[np.arange(len(kinds))[:, None], kinds]
        km = of_kind[:, :, None] * np.exp(spread)[:, None, :]
        return km, np.where(lacks_km[:, None], 0.5, (1.0, 0.0))

    def _set_kinds(self, features: CodedFeatures, at: IntArray, kinds: IntArray) -> None:
        """Write the kinds of the cars at some places."""
        codes = features.cars.codes
        features.categories[at, _FUEL] = FUEL_OF_KIND[kinds]
        features.categories[at, _GEARBOX] = GEARBOX_OF_KIND[kinds]
        codes[at, _FUEL_KEY], codes[at, _GEARBOX_KEY] = self._kind_codes[kinds].T
        codes[at, _SPEC] = self._ordinal_encoder.spec_codes(
            codes[at, _VEHICLE], codes[at, _FUEL_KEY], codes[at, _GEARBOX_KEY]
        )
