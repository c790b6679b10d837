"""Keeps small changes of the usual kinds of a vehicle from making a newer car cheaper.

A car without fuel or gearbox is priced as a mixture of kinds. Each kind is dearer in a newer year,
but the shares may move to a cheaper kind: then the newer car would be cheaper. Where that would be
so, the kinds of a year keep a part of the shares of the year before (`UsualStatistics.kept_kinds`),
as long as that concerns few cars: where the usual kind really becomes a cheaper one, the newer car
is cheaper.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from data.hedonic.model import (
    FIRST_YEAR,
    LAST_YEAR,
    SEPARATOR,
    VEHICLE,
    YEARS,
    FloatArray,
    split_vehicle,
)
from data.hedonic.ordinal_encoder import KEYS, NUMBERS
from data.listings.table import latest_month
from data.market.reference import ReferenceMarket
from model_store.pricing.feature_matrix import CarEncoder
from model_store.pricing.usual_cars import (
    FUEL_OF_KIND,
    GEARBOX_OF_KIND,
    KINDS,
    MIN_SHARE,
    UsualCars,
    UsualStatistics,
    kind_codes,
)
from model_store.training.usual_statistics import usual_statistics
from shared.domain.car import Fuel, Transmission

_VEHICLE, _YEAR, _FUEL, _GEARBOX, _SPEC = (
    KEYS.index(key) for key in (VEHICLE, "year", "fuel", "transmission", "spec")
)
_FIRST_YEAR = 1998
"""Older cars of a kind may be cheaper in a newer year: they become collectable."""
_PRICE_SCALE = 0.07
"""Scale of the logistic distribution of the log prices of one kind."""
_MAX_FALL = 1e-4
_MAX_MOVED = 0.1
"""Largest share of the cars of a vehicle and year that may count as another kind than they are."""
_BLENDS = np.linspace(0.05, 1.0, 20)
_HALVINGS = 16
_PATTERNS = np.array(
    [
        np.ones(len(KINDS), dtype=np.bool_),
        *(fuel == FUEL_OF_KIND for fuel in range(len(Fuel))),
        *(gearbox == GEARBOX_OF_KIND for gearbox in range(len(Transmission))),
    ]
)
"""Kinds of all cars, of those of each fuel, and of those of each gearbox."""


def measure_usual(
    listings: pd.DataFrame, encoder: CarEncoder, market: ReferenceMarket | None
) -> UsualStatistics:
    """What is usual for a car, with kinds that hardly make a newer one cheaper.

    Args:
        listings: that the model is trained on, a canonical table.
        encoder: with the baseline.
        market: from which generated listings were drawn.
    """
    quoted = latest_month(listings) if market is None else market.data_as_of
    statistics = usual_statistics(listings, encoder.hedonic, market)
    return with_kept_kinds(statistics, encoder, int(quoted[:4]))


def with_kept_kinds(statistics: UsualStatistics, encoder: CarEncoder, year: int) -> UsualStatistics:
    """A copy of `statistics` by which fewer newer cars of a vehicle are cheaper.

    Args:
        statistics: of the training listings, without kept kinds.
        encoder: with the baseline, which prices the kinds.
        year: see `UsualCars`.
    """
    usual = UsualCars(statistics, encoder.ordinal_encoder, year)
    counted = sorted({*statistics.kinds, *statistics.new_kinds})
    names = [name for name in counted if not name.endswith(SEPARATOR)]
    if not names:
        return statistics
    codes = [encoder.ordinal_encoder.vehicle_code(*split_vehicle(name), None) for name in names]
    shares = usual.shares_by_year[codes]
    found: dict[str, dict[str, float]] = {}
    for row, place, weight in _kept(shares, _prices_by_kind(names, shares, encoder)):
        found.setdefault(names[row], {})[str(FIRST_YEAR + place)] = weight
    return dataclasses.replace(statistics, kept_kinds=found)


def _prices_by_kind(names: list[str], shares: FloatArray, encoder: CarEncoder) -> FloatArray:
    """Log price of the kinds that occur (vehicles, years, kinds); 0 for the others.

    Args:
        names: of the vehicles.
        shares: (vehicles, years, kinds).
        encoder: with the baseline.
    """
    coder = encoder.ordinal_encoder
    company, model = zip(*map(split_vehicle, names), strict=True)
    columns = {"company": company, "model": model, "year": [LAST_YEAR] * len(names)}
    row, kind = np.nonzero(shares.max(axis=1) > 0.0)
    # A kind that is rare among all cars may be the usual one of its fuel or gearbox.
    place = np.tile(np.arange(len(YEARS)), len(row))
    row, kind = np.repeat(row, len(YEARS)), np.repeat(kind, len(YEARS))
    cars = coder.code(columns, len(names)).take(row)
    fuels, gearboxes = kind_codes(coder)[kind].T
    codes = cars.codes
    codes[:, _FUEL], codes[:, _GEARBOX], codes[:, _YEAR] = fuels, gearboxes, place + 1
    codes[:, _SPEC] = coder.spec_codes(codes[:, _VEHICLE], fuels, gearboxes)
    cars.numbers[:, NUMBERS.index("year")] = YEARS[place]
    found = np.zeros(shares.shape)
    found[row, place, kind] = encoder.log_prices(cars)
    return found


def _kept(shares: FloatArray, log_price: FloatArray) -> Iterator[tuple[int, int, float]]:
    """Row, place of the year, and weight with which the shares are those of the year before.

    The least weight by which the median price of the cars of a vehicle does not fall, neither of
    all nor of those of one fuel or one gearbox; at most the weight that moves `_MAX_MOVED`.
    """
    rising = shares.copy()
    reached = _median_prices(rising[:, 0], log_price[:, 0])
    for place in range(1, shares.shape[1]):
        before, price = rising[:, place - 1], log_price[:, place]
        medians = _median_prices(shares[:, place], price)
        left = np.flatnonzero((medians < reached - _MAX_FALL).any(axis=1))
        weights = np.zeros(len(shares))
        moved = np.abs(before - shares[:, place]).sum(axis=1) / 2.0
        for weight in _BLENDS if YEARS[place] >= _FIRST_YEAR else ():
            left = left[weight * moved[left] <= _MAX_MOVED]
            weights[left] = weight
            rising[left, place] = (1.0 - weight) * shares[left, place] + weight * before[left]
            medians[left] = _median_prices(rising[left, place], price[left])
            left = left[(medians[left] < reached[left] - _MAX_FALL).any(axis=1)]
        for row in np.flatnonzero(weights).tolist():
            yield row, place, round(float(weights[row]), 2)
        reached = medians


def _median_prices(shares: FloatArray, log_price: FloatArray) -> FloatArray:
    """Median log price (vehicles, patterns) of all kinds, of those of a fuel, and of a gearbox.

    NaN for a pattern without shares.
    """
    part = shares[:, None, :] * _PATTERNS
    total = part.sum(axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        part /= total
        part[part < MIN_SHARE] = 0.0
        part /= part.sum(axis=2, keepdims=True)
    price = np.broadcast_to(log_price[:, None, :], part.shape)
    found = np.nansum(part * price, axis=2)
    several = np.nonzero((part > 0.0).sum(axis=2) > 1)
    weights, prices = part[several], price[several]
    low = np.where(weights > 0, prices, np.inf).min(axis=1)
    high = np.where(weights > 0, prices, -np.inf).max(axis=1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        level = (weights / (1.0 + np.exp((prices - middle[:, None]) / _PRICE_SCALE))).sum(axis=1)
        is_high = level > 0.5  # noqa: PLR2004
        low, high = np.where(is_high, low, middle), np.where(is_high, middle, high)
    found[several] = (low + high) / 2.0
    found[(total[:, :, 0] <= 0.0) | np.isnan(part).any(axis=2)] = np.nan
    return np.asarray(found)
