"""Finds typical cars of the reference market that resemble a given car."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_store.pricing.typical_cars import FUEL, TRANSMISSION, TypicalCarTable
from shared.domain.car import CarFeatures, Fuel, Transmission
from shared.domain.outlook import Comparable, DifferenceReason, SimilarityReason

MAX_COMPARABLES = 5
MAX_OF_MODEL = 3
"""Cars of the car's own model, in different years; of any other model there is at most one."""
MIN_COMPARABLES = 3
"""With fewer of the car's fuel and gearbox, its model is shown with others too."""
MAX_DISTANCE, MAX_DISTANCE_OF_OTHERS = 3.0, 2.3
"""Cars of the own model, and of other models, that are further away are not comparable."""

YEAR_SCALE = 1.5
LOG_PRICE_SCALE = 0.15
POWER_SCALE = 3.0
"""Difference in each number (years, log price, CV) that alone gives a distance of 1."""
KM_SCALE, KM_SCALE_SHARE = 15_000.0, 0.15
"""The same of kilometres: a constant, and a share of the car's kilometres."""
MODEL_DISTANCE, COMPANY_DISTANCE, FUEL_DISTANCE, TRANSMISSION_DISTANCE = 0.7, 1.2, 2.0, 1.5
"""Distance of another model (of the same company; of another company), fuel or gearbox."""

UNUSUAL_KIND = 0.25
"""Squared distance per unit of -log(share) of a kind among the car's, if it leaves fuel or gearbox
open."""
MIN_LOG_SHARE = -16.0
"""A kind that the car cannot have is as far as another fuel."""

NEAR_YEARS = 2
NEAR_KM, NEAR_KM_SHARE = 10_000.0, 0.10
"""Kilometres are near within a constant and a share of the car's."""
NEAR_LOG_PRICE = 0.10

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_FUELS, _GEARBOXES = list(Fuel), list(Transmission)


def nearest_comparables(
    table: TypicalCarTable,
    car: CarFeatures,
    price_mad: float,
    *,
    usual_km: float,
    usual_kinds: Mapping[tuple[Fuel | None, Transmission | None], float] | None = None,
) -> tuple[Comparable, ...]:
    """Up to `MAX_COMPARABLES` typical cars by increasing distance; none if all are far.

    They have the car's fuel and gearbox. Where fewer than `MIN_COMPARABLES` do, or none of its
    model, those of its model with another fuel or gearbox are added. A missing field is never
    alike and never differs; of a missing fuel or gearbox the usual ones are nearer.

    Args:
        table: the typical cars.
        car: the priced car.
        price_mad: its estimate.
        usual_km: taken for its kilometres if they are missing.
        usual_kinds: shares of the fuels and gearboxes that it may have, if one is missing.
    """
    is_company = np.asarray(table.company == table.companies.get(car.company, -1))
    is_model = _is_model(table, car, is_company)
    other_kind = _other_kind(table, car)
    square = _square_distance(table, car, is_company, is_model, other_kind)
    if usual_kinds and (car.fuel is None or car.transmission is None):
        square -= UNUSUAL_KIND * _log_shares(table, usual_kinds)
    level, of_level = _nearest_levels(table, car, price_mad, usual_km)
    distance = np.sqrt(square + of_level)
    furthest = np.where(is_model, MAX_DISTANCE, MAX_DISTANCE_OF_OTHERS)
    order = np.argsort(distance, kind="stable")
    order = order[distance[order] <= furthest[order]]
    is_alike = np.asarray(~other_kind.any(axis=1))
    chosen = _distinct(table, order[is_alike[order]].tolist(), is_model, MAX_COMPARABLES)
    wanted = max(MIN_COMPARABLES - len(chosen), int(not is_model[chosen].any()))
    if wanted:
        others = order[(is_model & ~is_alike)[order]].tolist()
        added = _distinct(table, others, is_model, wanted)
        chosen = [*chosen[: MAX_COMPARABLES - len(added)], *added]
        chosen.sort(key=lambda place: float(distance[place]))
    return tuple(
        _comparable(
            table,
            place,
            int(level[place]),
            car,
            price_mad,
            is_model=bool(is_model[place]),
            distance=round(float(distance[place]), 3),
        )
        for place in chosen
    )


def _log_shares(
    table: TypicalCarTable,
    usual_kinds: Mapping[tuple[Fuel | None, Transmission | None], float],
) -> FloatArray:
    """Log share (n,) of each typical car's kind among those that the car may have."""
    shares = np.zeros((len(_FUELS), len(_GEARBOXES)))
    for (fuel, gearbox), share in usual_kinds.items():
        fuels = range(len(_FUELS)) if fuel is None else [_FUELS.index(fuel)]
        gearboxes = range(len(_GEARBOXES)) if gearbox is None else [_GEARBOXES.index(gearbox)]
        shares[np.ix_(fuels, gearboxes)] += share
    found = shares[table.kind[:, FUEL], table.kind[:, TRANSMISSION]]
    return np.log(np.maximum(found, np.exp(MIN_LOG_SHARE)))


def _is_model(table: TypicalCarTable, car: CarFeatures, is_company: BoolArray) -> BoolArray:
    """Whether each typical car is of the same model; `golf` matches any of its generations."""
    is_model = np.asarray(is_company & (table.vehicle == table.vehicle_code_of(car)))
    name = car.model + " "
    for place in np.flatnonzero(is_company & ~is_model).tolist():
        is_model[place] = (table.cars[place].car.model + " ").startswith(name)
    return is_model


def _other_kind(table: TypicalCarTable, car: CarFeatures) -> BoolArray:
    """Whether fuel and gearbox differ from those that the car states, (n, 2)."""
    other = np.zeros(table.kind.shape, dtype=np.bool_)
    if car.fuel is not None:
        other[:, FUEL] = table.kind[:, FUEL] != _FUELS.index(car.fuel)
    if car.transmission is not None:
        gearbox = _GEARBOXES.index(car.transmission)
        other[:, TRANSMISSION] = table.kind[:, TRANSMISSION] != gearbox
    return other


def _square_distance(
    table: TypicalCarTable,
    car: CarFeatures,
    is_company: BoolArray,
    is_model: BoolArray,
    other_kind: BoolArray,
) -> FloatArray:
    """Squared distances (n,) without kilometres and price."""
    square = ((table.year - car.year) / YEAR_SCALE) ** 2
    square += other_kind @ np.array([FUEL_DISTANCE**2, TRANSMISSION_DISTANCE**2])
    other_model = np.where(is_company, MODEL_DISTANCE**2, COMPANY_DISTANCE**2)
    square += np.where(is_model, 0.0, other_model)
    if car.fiscal_power_cv is not None:
        square += np.nan_to_num((table.power - car.fiscal_power_cv) / POWER_SCALE) ** 2
    return square


def _nearest_levels(
    table: TypicalCarTable, car: CarFeatures, price_mad: float, usual_km: float
) -> tuple[NDArray[np.int64], FloatArray]:
    """The nearest of `KM_LEVELS` (n,), and its squared distance by kilometres and price."""
    own_km = usual_km if car.km_driven is None else car.km_driven
    apart = ((table.km - own_km) / (KM_SCALE + KM_SCALE_SHARE * own_km)) ** 2
    apart += ((table.log_price - np.log(price_mad)) / LOG_PRICE_SCALE) ** 2
    level = apart.argmin(axis=1) if len(apart) else np.empty(0, dtype=np.int64)
    return level, apart[np.arange(len(apart)), level]


def _distinct(
    table: TypicalCarTable, order: Sequence[int], is_model: BoolArray, maximum: int
) -> list[int]:
    """The first places of `order`: of the own model one for each year, of others one."""
    chosen: list[int] = []
    seen: set[tuple[str, str, int]] = set()
    of_model = 0
    for place in order:
        typical, own = table.cars[place], bool(is_model[place])
        key = (typical.car.company, typical.car.model, typical.year_from if own else 0)
        if key in seen or (own and of_model == MAX_OF_MODEL):
            continue
        seen.add(key)
        of_model += own
        chosen.append(place)
        if len(chosen) == maximum:
            break
    return chosen


def _comparable(
    table: TypicalCarTable,
    place: int,
    level: int,
    car: CarFeatures,
    price_mad: float,
    *,
    is_model: bool,
    distance: float,
) -> Comparable:
    typical = table.cars[place]
    other = dataclasses.replace(typical.car, km_driven=int(table.km[place, level]))
    price = round(float(np.exp(table.log_price[place, level])), 2)
    log_ratio = float(np.log(price / price_mad))
    return Comparable(
        company=other.company,
        model=other.model,
        year_from=typical.year_from,
        year_to=typical.year_to,
        km_driven=int(table.km[place, level]),
        fuel=str(other.fuel),
        transmission=str(other.transmission),
        price_mad=price,
        listings=typical.listings,
        distance=distance,
        alike=_likenesses(other, car, abs(log_ratio), is_model=is_model),
        differs=_differences(other, car, log_ratio),
    )


def _likenesses(
    other: CarFeatures, car: CarFeatures, log_price_apart: float, *, is_model: bool
) -> tuple[SimilarityReason, ...]:
    years_apart = abs(other.year - car.year)
    truths = {
        SimilarityReason.MODEL: is_model,
        SimilarityReason.COMPANY: other.company == car.company and not is_model,
        SimilarityReason.YEAR: years_apart == 0,
        SimilarityReason.NEAR_YEAR: 0 < years_apart <= NEAR_YEARS,
        SimilarityReason.KM: _km_more(other, car) == 0,
        SimilarityReason.PRICE: log_price_apart <= NEAR_LOG_PRICE,
        SimilarityReason.FUEL: other.fuel == car.fuel,
        SimilarityReason.TRANSMISSION: other.transmission == car.transmission,
    }
    return tuple(one for one, is_true in truths.items() if is_true)


def _differences(
    other: CarFeatures, car: CarFeatures, log_ratio: float
) -> tuple[DifferenceReason, ...]:
    """In what a typical car clearly differs; `log_ratio`: log of its price over the car's."""
    km_more = _km_more(other, car)
    truths = {
        DifferenceReason.FUEL: car.fuel not in (None, other.fuel),
        DifferenceReason.TRANSMISSION: car.transmission not in (None, other.transmission),
        DifferenceReason.OLDER: other.year < car.year - NEAR_YEARS,
        DifferenceReason.NEWER: other.year > car.year + NEAR_YEARS,
        DifferenceReason.FEWER_KM: km_more is not None and km_more < 0,
        DifferenceReason.MORE_KM: km_more is not None and km_more > 0,
        DifferenceReason.CHEAPER: log_ratio < -NEAR_LOG_PRICE,
        DifferenceReason.DEARER: log_ratio > NEAR_LOG_PRICE,
    }
    return tuple(one for one, is_true in truths.items() if is_true)


def _km_more(other: CarFeatures, car: CarFeatures) -> int | None:
    """Kilometres that the typical car has more; 0 if near, None if one does not state them."""
    if other.km_driven is None or car.km_driven is None:
        return None
    more = other.km_driven - car.km_driven
    return 0 if abs(more) <= NEAR_KM + NEAR_KM_SHARE * car.km_driven else more
