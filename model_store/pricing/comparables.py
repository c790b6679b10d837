"""Finds typical cars of the reference market that are similar to a given car."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from data.market.typical_cars import TypicalCar, typical_market
from shared.domain.car import CarFeatures
from shared.domain.outlook import Comparable, SimilarityReason

MAX_COMPARABLES = 5
MAX_PER_MODEL = 2
"""Leaves room for other models at the same price."""
MAX_DISTANCE = 3.0
"""Cars further away than this are not comparable."""

YEAR_SCALE = 2.0
KM_SCALE = 60_000.0
LOG_PRICE_SCALE = 0.15
"""Difference in each number that alone gives a distance of 1."""
MODEL_DISTANCE, COMPANY_DISTANCE, FUEL_DISTANCE, TRANSMISSION_DISTANCE = 0.7, 1.2, 0.7, 0.7
"""Distance of another model (of the same company; of another company), fuel or gearbox."""

NEAR_YEARS = 2
NEAR_KM = 30_000
NEAR_LOG_PRICE = 0.10


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class ComparablesIndex:
    """The typical cars that a model version knows, priced by it."""

    cars: Sequence[TypicalCar]
    vehicle_code_of: Callable[[CarFeatures], int]
    """See `CarEncoder.vehicle_code`."""
    codes: Sequence[int]
    year: NDArray[np.float64]
    km: NDArray[np.float64]
    price_mad: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        prices_mad: Callable[[Sequence[CarFeatures]], Sequence[float]],
        vehicle_code_of: Callable[[CarFeatures], int],
    ) -> Self:
        """Price every typical car of a known vehicle, in one forest call.

        Args:
            prices_mad: prices cars, in order; see `LoadedModel.prices_mad`.
            vehicle_code_of: 0 for a vehicle not seen in training; see `CarEncoder.vehicle_code`.
        """
        known = [one for one in typical_market().cars if vehicle_code_of(one.car)]
        return cls(
            cars=known,
            vehicle_code_of=vehicle_code_of,
            codes=[vehicle_code_of(one.car) for one in known],
            year=np.array([one.car.year for one in known], dtype=np.float64),
            km=np.array([one.car.km_driven for one in known], dtype=np.float64),
            price_mad=np.array(prices_mad([one.car for one in known])),
        )

    def nearest(
        self, car: CarFeatures, price_mad: float, *, usual_km: float
    ) -> tuple[Comparable, ...]:
        """Up to `MAX_COMPARABLES` typical cars by increasing distance; none if all are far.

        A missing fuel or gearbox is no distance; a missing field is never alike.

        Args:
            car: the priced car.
            price_mad: its estimate.
            usual_km: taken for its kilometres if they are missing.
        """
        is_model = self._is_model(car)
        distance = self._distance(car, price_mad, is_model, usual_km)
        found: list[Comparable] = []
        of_model: dict[tuple[str, str], int] = {}
        for index in np.argsort(distance, kind="stable").tolist():
            if distance[index] > MAX_DISTANCE or len(found) == MAX_COMPARABLES:
                break
            other = self.cars[index].car
            name = (other.company, other.model)
            of_model[name] = of_model.get(name, 0) + 1
            if of_model[name] <= MAX_PER_MODEL:
                one = self._comparable(index, car, price_mad, is_model=is_model[index])
                found.append(dataclasses.replace(one, distance=round(float(distance[index]), 3)))
        return tuple(found)

    def _is_model(self, car: CarFeatures) -> list[bool]:
        """Whether each typical car is of the same model; `golf` matches any of its generations."""
        code, name = self.vehicle_code_of(car), car.model + " "
        return [
            one.car.company == car.company
            and (known == code or one.car.model == car.model or one.car.model.startswith(name))
            for one, known in zip(self.cars, self.codes, strict=True)
        ]

    def _distance(
        self, car: CarFeatures, price_mad: float, is_model: Sequence[bool], usual_km: float
    ) -> NDArray[np.float64]:
        km_driven = usual_km if car.km_driven is None else car.km_driven
        differs = np.array(
            [
                _categorical_distance(one.car, car, is_model=same)
                for one, same in zip(self.cars, is_model, strict=True)
            ]
        )
        squares = (
            ((self.year - car.year) / YEAR_SCALE) ** 2
            + ((self.km - km_driven) / KM_SCALE) ** 2
            + (np.log(self.price_mad / price_mad) / LOG_PRICE_SCALE) ** 2
        )
        return np.asarray(np.sqrt(squares + differs))

    def _comparable(
        self, index: int, car: CarFeatures, price_mad: float, *, is_model: bool
    ) -> Comparable:
        typical = self.cars[index]
        other, price = typical.car, float(self.price_mad[index])
        return Comparable(
            company=other.company,
            model=other.model,
            year_from=typical.year_from,
            year_to=typical.year_to,
            km_driven=int(self.km[index]),
            fuel=str(other.fuel),
            transmission=str(other.transmission),
            price_mad=price,
            listings=typical.listings,
            distance=0.0,
            alike=_likenesses(other, car, abs(float(np.log(price / price_mad))), is_model=is_model),
        )


def _categorical_distance(other: CarFeatures, car: CarFeatures, *, is_model: bool) -> float:
    """Squared distance by company, model, fuel and gearbox."""
    square = 0.0
    if other.company != car.company:
        square += COMPANY_DISTANCE**2
    elif not is_model:
        square += MODEL_DISTANCE**2
    if car.fuel not in (None, other.fuel):
        square += FUEL_DISTANCE**2
    if car.transmission not in (None, other.transmission):
        square += TRANSMISSION_DISTANCE**2
    return square


def _likenesses(
    other: CarFeatures, car: CarFeatures, log_price_apart: float, *, is_model: bool
) -> tuple[SimilarityReason, ...]:
    years_apart = abs(other.year - car.year)
    km_apart = _km_apart(other, car)
    truths = {
        SimilarityReason.MODEL: is_model,
        SimilarityReason.COMPANY: other.company == car.company and not is_model,
        SimilarityReason.YEAR: years_apart == 0,
        SimilarityReason.NEAR_YEAR: 0 < years_apart <= NEAR_YEARS,
        SimilarityReason.KM: km_apart is not None and km_apart <= NEAR_KM,
        SimilarityReason.PRICE: log_price_apart <= NEAR_LOG_PRICE,
        SimilarityReason.FUEL: other.fuel == car.fuel,
        SimilarityReason.TRANSMISSION: other.transmission == car.transmission,
    }
    return tuple(one for one, is_true in truths.items() if is_true)


def _km_apart(other: CarFeatures, car: CarFeatures) -> int | None:
    """Difference of the kilometres; None if one of the cars does not state them."""
    if other.km_driven is None or car.km_driven is None:
        return None
    return abs(other.km_driven - car.km_driven)
