"""The typical cars of the reference market, priced by a model version at several mileages."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from data.hedonic.ordinal_encoder import NUMBERS
from data.market.typical_cars import TypicalCar, typical_market
from model_store.pricing.feature_matrix import CarEncoder, CodedFeatures
from model_store.pricing.usual_cars import KINDS, UsualCars
from shared.domain.car import CarFeatures, Fuel, Transmission

KM_LEVELS = (-1.28, -0.67, 0.0, 0.67, 1.28)
"""Few to many kilometres of the same version and age, in standard deviations of their log: the
quantiles 10, 25, 50, 75 and 90 %."""
KM_STEP = 1_000.0
MIN_KIND_SHARE = 0.05
"""Fuel and gearbox with a smaller share of a model's cars of a year have no typical car."""
FUEL, TRANSMISSION = range(2)
"""Columns of `TypicalCarTable.kind`."""

FloatArray = NDArray[np.float64]

_FUELS, _GEARBOXES = list(Fuel), list(Transmission)
_KM = NUMBERS.index("km_driven")


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class TypicalCarTable:
    """The n typical cars that a model version knows, priced by it at `KM_LEVELS`."""

    cars: Sequence[TypicalCar]
    """With the usual kilometres of the market."""
    vehicle_code_of: Callable[[CarFeatures], int]
    """See `CarEncoder.vehicle_code`."""
    vehicle: NDArray[np.int64]
    """(n,) code of each car's vehicle."""
    company: NDArray[np.int64]
    """(n,) place in `companies`."""
    companies: Mapping[str, int]
    kind: NDArray[np.int64]
    """(n, 2) place of fuel and gearbox in their enumerations."""
    year: FloatArray
    """(n,)"""
    power: FloatArray
    """(n,) fiscal power; NaN where unknown."""
    km: FloatArray
    """(n, levels)"""
    log_price: FloatArray
    """(n, levels)"""

    @classmethod
    def of(
        cls,
        prices_mad: Callable[[CodedFeatures], FloatArray],
        encoder: CarEncoder,
        usual: UsualCars,
    ) -> Self:
        """Price the typical cars of known vehicles, in one forest call.

        Args:
            prices_mad: prices (n,) of coded cars.
            encoder: of the model.
            usual: which fuels, gearboxes and kilometres are usual, by the model.
        """
        typical = [one for one in typical_market().cars if encoder.vehicle_code(one.car)]
        shares = _kind_shares(typical, encoder, usual)
        is_usual = shares >= MIN_KIND_SHARE
        cars = [typical[place] for place in np.flatnonzero(is_usual).tolist()]
        features = encoder.code([one.car for one in cars]) if cars else None
        kind = _kinds(cars)
        km = np.empty((len(cars), len(KM_LEVELS)))
        log_price = np.empty_like(km)
        if features is not None:
            km[:] = _km_levels(features, cars, kind, usual)
            repeated = features.take(np.repeat(np.arange(len(cars)), len(KM_LEVELS)))
            repeated.cars.numbers[:, _KM] = km.ravel()
            log_price[:] = np.log(prices_mad(repeated)).reshape(km.shape)
        companies = {name: code for code, name in enumerate({one.car.company for one in cars})}
        powers = [one.car.fiscal_power_cv for one in cars]
        return cls(
            cars=cars,
            vehicle_code_of=encoder.vehicle_code,
            vehicle=np.array([encoder.vehicle_code(one.car) for one in cars], dtype=np.int64),
            company=np.array([companies[one.car.company] for one in cars], dtype=np.int64),
            companies=companies,
            kind=kind,
            year=np.array([one.car.year for one in cars], dtype=np.float64),
            power=np.array(powers, dtype=np.float64),
            km=km,
            log_price=log_price,
        )


def _kinds(cars: Sequence[TypicalCar]) -> NDArray[np.int64]:
    """Places of fuel and gearbox in their enumerations, (n, 2)."""
    known = [(Fuel(one.car.fuel or ""), one.car.transmission) for one in cars]
    places = [(_FUELS.index(fuel), _GEARBOXES.index(box)) for fuel, box in known if box]
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def _kind_shares(
    typical: Sequence[TypicalCar], encoder: CarEncoder, usual: UsualCars
) -> FloatArray:
    """Share (n,) of each typical car's fuel and gearbox among its model's cars of that year."""
    if not typical or not usual.knows_kinds:
        return np.ones(len(typical))
    cars = (one.car for one in typical)
    bare = [CarFeatures(company=one.company, model=one.model, year=one.year) for one in cars]
    shares = usual.shares(encoder.code(bare).cars, np.ones((len(bare), len(KINDS)), dtype=np.bool_))
    return np.asarray(shares[np.arange(len(bare)), _kind_numbers(_kinds(typical))])


def _kind_numbers(kind: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each kind in `KINDS`."""
    return np.asarray(kind[:, FUEL] * len(Transmission) + kind[:, TRANSMISSION])


def _km_levels(
    features: CodedFeatures, cars: Sequence[TypicalCar], kind: NDArray[np.int64], usual: UsualCars
) -> FloatArray:
    """Kilometres (n, levels) of the typical cars; the market's where the model knows none."""
    if not usual.knows_km:
        stated = np.array([one.car.km_driven for one in cars], dtype=np.float64)
        return np.repeat(stated[:, None], len(KM_LEVELS), axis=1)
    by_kind, spread = usual.km(features.cars)
    level = np.array(KM_LEVELS)
    # The spread below the usual kilometres is negative.
    logs = np.where(level < 0, -level * spread[:, :1], level * spread[:, 1:])
    km = by_kind[np.arange(len(cars)), _kind_numbers(kind)][:, None] * np.exp(logs)
    return np.asarray(np.round(km / KM_STEP) * KM_STEP)
