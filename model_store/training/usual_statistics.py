"""Measures what is usual for a car: shares of fuels and gearboxes, kilometres by age."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from data.hedonic.model import SEPARATOR, FloatArray, HedonicModel
from data.listings.table import LISTING_DATE, latest_month
from data.market.distributions import ListedYears, age_at_listing, listed_years
from data.market.kind_trend import kind_ratios
from data.market.kinds import KindCounts, known_vehicles, listed_kinds, new_car_kinds
from data.market.reference import ReferenceMarket
from model_store.pricing.usual_cars import AGE_BANDS, MAX_AGE, Counts, UsualStatistics

_MIN_LISTINGS = 30
"""Fewest listings behind a median or a quantile of kilometres."""
_KM_PRIOR = 20.0
"""Weight of the factor 1 as a number of listings."""
_SPREAD_QUANTILES = (0.16, 0.84)
_DEFAULT_SPREAD = (-0.5, 0.5)
_MIN_KINDS = 10
"""Fewest listings of a vehicle that state their kind from which a kind without any is unknown."""
_MIN_KIND = 1.0
"""Fewest listings of a kind that a vehicle has."""
_DIGITS = 3


def usual_statistics(
    listings: pd.DataFrame, hedonic: HedonicModel, market: ReferenceMarket | None = None
) -> UsualStatistics:
    """Measure the listings that a model is trained on.

    Args:
        listings: a canonical table.
        hedonic: the model's baseline; a vehicle that it does not know counts for its brand, and a
            brand that it does not know for the market.
        market: from which generated listings were drawn. Their fuels and gearboxes do not depend
            on the year: the kinds are those of the market, or have its trend if it states none.
    """
    as_of = latest_month(listings)
    dated = listings.assign(**{LISTING_DATE: listings[LISTING_DATE].fillna(as_of)})
    vehicle = _vehicles(dated, hedonic)
    kind = dated["fuel"] + SEPARATOR + dated["transmission"]
    if market is not None and market.kinds:
        listed = listed_kinds(market.kinds, market.kind_shares)
        kinds = _of_known_names(listed, hedonic)
        new_kinds: Counts = _of_known_names(new_car_kinds(market.new_cars, listed), hedonic)
        known = known_vehicles(market.kinds, market.new_cars, market.kind_shares)
    else:
        new_kinds = {}
        trend = kind_ratios(market.kind_trend if market else {}, kind, dated["year"])
        kinds = _counts(vehicle, kind, dated["year"], trend)
        known = frozenset(name for name, found in kinds.items() if _total(found) >= _MIN_KINDS)
    return UsualStatistics(
        kinds=kinds,
        known_kinds=_known_kinds((kinds, new_kinds), known),
        new_kinds=new_kinds,
        new_car_years={} if market is None else market.years_of_new_cars(hedonic),
        listed_years=_listed_years(vehicle, dated, market),
        powers=_counts(vehicle, kind, dated["fiscal_power_cv"], np.ones(len(dated))),
        **_kilometres(dated["km_driven"].to_numpy(), age_at_listing(dated), vehicle, kind),
    )


def _listed_years(
    vehicle: pd.Series, listings: pd.DataFrame, market: ReferenceMarket | None
) -> ListedYears | None:
    """The years that real listings of each vehicle cover; None if the market does not state them.

    Generated listings would state the years of a smoothed distribution.
    """
    if market is not None:
        return market.cars.listed_years or None
    return listed_years(vehicle[~vehicle.str.endswith(SEPARATOR)], listings)


def _known_kinds(sources: Iterable[Counts], known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """All kinds of each vehicle of which it is known that it has no others."""
    found: dict[str, set[str]] = {}
    for kinds in sources:
        for vehicle, of_vehicle in kinds.items():
            if vehicle in known and not vehicle.endswith(SEPARATOR):
                found.setdefault(vehicle, set()).update(
                    name for name, years in of_vehicle.items() if sum(years.values()) >= _MIN_KIND
                )
    return {vehicle: tuple(sorted(names)) for vehicle, names in found.items() if names}


def _total(kinds: Mapping[str, Mapping[str, float]]) -> float:
    return sum(sum(years.values()) for years in kinds.values())


def _of_known_names(kinds: KindCounts, hedonic: HedonicModel) -> Counts:
    """The counts of vehicles that the model does not know are added to those of their brands."""
    found: KindCounts = {}
    brands = {name.split(SEPARATOR)[0] for name in hedonic.vehicle_years}
    for vehicle, by_kind in kinds.items():
        company = vehicle.split(SEPARATOR)[0]
        name = vehicle if vehicle in hedonic.vehicle_years else company + SEPARATOR
        if company not in brands:
            name = SEPARATOR
        for kind, by_year in by_kind.items():
            cells = found.setdefault(name, {}).setdefault(kind, {})
            for year, count in by_year.items():
                cells[year] = round(cells.get(year, 0.0) + count, _DIGITS)
    return found


def _vehicles(listings: pd.DataFrame, hedonic: HedonicModel) -> pd.Series:
    """Cell key of each listing's vehicle, or of its brand (`company|`), or `|`."""
    names = listings["company"] + SEPARATOR + listings["model"]
    brands = {name.split(SEPARATOR)[0] for name in hedonic.vehicle_years}
    brands |= set(hedonic.cells.get("company", {}))
    company = listings["company"].where(listings["company"].isin(brands), "")
    return names.where(names.isin(set(hedonic.vehicle_years)), company + SEPARATOR)


def _counts(vehicle: pd.Series, kind: pd.Series, number: pd.Series, weight: FloatArray) -> Counts:
    """Weight of the listings by vehicle, kind and number; those that lack one are left out."""
    keys = pd.DataFrame({"vehicle": vehicle, "kind": kind, "number": number})
    totals = keys.assign(weight=weight).dropna().groupby(list(keys.columns))["weight"].sum()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (name, kind_name, value), total in zip(totals.index, totals.tolist(), strict=True):
        found.setdefault(name, {}).setdefault(kind_name, {})[str(int(value))] = round(total, 2)
    return found


def _kilometres(
    km: FloatArray, ages: FloatArray, vehicle: pd.Series, kind: pd.Series
) -> dict[str, Any]:
    """The figures of `UsualStatistics` about kilometres."""
    stated = km > 0
    if not stated.any():
        return {"km_by_age": (), "km_by_vehicle": {}, "km_by_kind": {}, "km_spread": ()}
    by_age = _medians(km[stated], ages[stated])
    ratio = pd.Series(np.log(km[stated] / by_age[ages[stated].astype(int)]))
    of_vehicle = _factors(ratio, vehicle[stated].reset_index(drop=True))
    rest = ratio - vehicle[stated].map(of_vehicle).to_numpy()
    of_kind = _factors(rest, kind[stated].reset_index(drop=True))
    rest -= kind[stated].map(of_kind).fillna(0.0).to_numpy()
    known = {name: factor for name, factor in of_vehicle.items() if not name.endswith(SEPARATOR)}
    return {
        "km_by_age": tuple(by_age.tolist()),
        "km_by_vehicle": known,
        "km_by_kind": of_kind,
        "km_spread": tuple(_spread(rest.to_numpy(), ages[stated])),
    }


def _medians(km: FloatArray, ages: FloatArray) -> FloatArray:
    """Median by age; ages with few listings take those of the nearest ages into account."""
    needed = min(_MIN_LISTINGS, len(km))
    found = np.empty(MAX_AGE + 1)
    for age in range(MAX_AGE + 1):
        distance = np.abs(ages - age)
        found[age] = np.median(km[distance <= np.sort(distance)[needed - 1]])
    return np.maximum(found.round(-2), 100.0)


def _factors(ratio: pd.Series, names: pd.Series) -> dict[str, float]:
    """Mean log ratio by name, shrunk to 0."""
    grouped = ratio.groupby(names).agg(["size", "sum"])
    factors = grouped["sum"] / (grouped["size"] + _KM_PRIOR)
    return {str(name): round(float(factor), _DIGITS) for name, factor in factors.items()}


def _spread(rest: FloatArray, ages: FloatArray) -> Sequence[tuple[float, float]]:
    """Quantiles of what is left of the log ratio, by age band; of all ages if few are known."""
    bands = np.searchsorted(AGE_BANDS, ages, side="right") - 1
    found = []
    for band in range(len(AGE_BANDS)):
        inside = rest[bands == band]
        values = inside if len(inside) >= _MIN_LISTINGS else rest
        low, high = np.quantile(values, _SPREAD_QUANTILES).round(_DIGITS).tolist()
        found.append((low, high) if low < high else _DEFAULT_SPREAD)
    return found
