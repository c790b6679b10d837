"""Typical cars of the reference market: versions and kilometres of a model by year.

Read from the published statistics, each of which is based on ten or more listings. Needs no pandas,
because workers import it.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from shared.domain.car import CarFeatures, Fuel, Transmission

REFERENCE_MARKET = Path(__file__).with_name("reference_market.json")
MIN_LISTINGS = 10
YEAR_TERM = "vehicle_x_year"
YEAR_QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)
"""Levels of the published quantiles of the years (`data.market.distributions`)."""
MIN_NEAR_LISTINGS = 3
"""Fewest listings of a model, registered at most a year before or after a year, that cover it."""
_MEDIAN_KM_COLUMN = 4
"""Index of the median in a row of `km_by_age`: after the count and three lower quantiles."""
MAX_YEAR_SPAN = 5
"""A model without a year of `MIN_LISTINGS` listings has typical cars of usual years that span less
than this."""
_PACE_AGES = range(3, 11)
"""Ages, years, from which the market's yearly kilometres are estimated."""
_RARE_PREFIX = "("
_NOT_A_MODEL = frozenset({"other", "autre", "autres"})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TypicalCar:
    """The typical car among the listings of one model of one year, or of a few years."""

    car: CarFeatures
    """Middle year, typical kilometres, fuel, gearbox and the most frequent fiscal power of both."""
    year_from: int
    year_to: int
    listings: int
    """Listings of the model in these years, of any fuel and gearbox."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TypicalMarket:
    """The typical cars and the usual kilometres of the market."""

    cars: tuple[TypicalCar, ...]
    km_per_year: int
    km_by_age: Mapping[int, float]
    """Median kilometres by age in years."""


@lru_cache(maxsize=2)
def typical_market(path: Path = REFERENCE_MARKET) -> TypicalMarket:
    """Read the typical cars from a file of market statistics; cached."""
    market = json.loads(path.read_text(encoding="utf-8"))
    distributions = market["cars"]
    km_by_age = {
        int(age): row[_MEDIAN_KM_COLUMN] for age, row in distributions["km_by_age"].items()
    }
    listed_in = int(market["data_as_of"][:4])
    years_of = _years(market["hedonic"])
    cars = [
        typical
        for name, group in distributions["groups"].items()
        if _is_one_model(name) and group["count"] >= MIN_LISTINGS
        for typical in _typical_cars(name, group, years_of.get(name, {}), km_by_age, listed_in)
    ]
    return TypicalMarket(cars=tuple(cars), km_per_year=_km_per_year(km_by_age), km_by_age=km_by_age)


def _typical_cars(
    name: str,
    group: Mapping[str, Any],
    years: Mapping[int, int],
    km_by_age: Mapping[int, float],
    listed_in: int,
) -> Iterator[TypicalCar]:
    """Those of each year with enough listings; without such a year, of the middle years."""
    versions = _versions(group)
    spans = [(year, year, year, count) for year, count in sorted(years.items())]
    for first, middle, last, count in spans or _usual_years(group):
        age = min(max(listed_in - middle, 0), max(km_by_age))
        km_driven = round(km_by_age[age] * group["km_factor"], -2)
        company, _, model = name.partition("|")
        for version in versions:
            yield TypicalCar(
                car=CarFeatures(
                    company=company, model=model, year=middle, km_driven=int(km_driven), **version
                ),
                year_from=first,
                year_to=last,
                listings=count,
            )


def _usual_years(group: Mapping[str, Any]) -> Iterator[tuple[int, int, int, int]]:
    """First, middle and last year of most listings and their number.

    Where they are too far apart, those between quantiles, the newest first, that are not.
    """
    years = group["years"]
    if round(years[-1]) - round(years[0]) < MAX_YEAR_SPAN:
        first, middle, last = (round(years[place]) for place in (0, len(years) // 2, -1))
        yield first, middle, last, group["count"]
        return
    last = len(years) - 1
    for first in range(len(years) - 2, -1, -1):
        count = int(group["count"] * (YEAR_QUANTILES[last] - YEAR_QUANTILES[first]))
        if count < MIN_LISTINGS:
            continue
        earliest, latest = round(years[first]), round(years[last])
        if latest - earliest < MAX_YEAR_SPAN:
            yield earliest, (earliest + latest) // 2, latest, count
        last = first


def _versions(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Fuel, gearbox and fiscal power of each kind of car of a model, the most frequent first.

    Without listings that state all three, the most frequent fuel and gearbox without fiscal power.
    """
    fuels, boxes = group["marginals"]["fuel"], group["marginals"]["transmission"]
    powers: dict[tuple[str, str], dict[str, int]] = {}
    for spec, count in group["specs"].items():
        fuel, box, power = spec.split("|")
        powers.setdefault((fuel, box), {})[power] = count
    if not powers:
        usual = [(max(fuels, key=fuels.get), max(boxes, key=boxes.get))] if fuels and boxes else []
        return [{"fuel": Fuel(fuel), "transmission": Transmission(box)} for fuel, box in usual]
    kinds = sorted(powers, key=lambda kind: -sum(powers[kind].values()))
    return [
        {
            "fuel": Fuel(fuel),
            "transmission": Transmission(box),
            "fiscal_power_cv": int(max(powers[fuel, box], key=powers[fuel, box].__getitem__)),
        }
        for fuel, box in kinds
    ]


def _years(hedonic: Mapping[str, Any]) -> dict[str, dict[int, int]]:
    """Number of listings by model and year, at least `MIN_LISTINGS`."""
    found: dict[str, dict[int, int]] = {}
    for term in hedonic["terms"]:
        if term["name"] == YEAR_TERM:
            for key, (count, *_) in term["cells"].items():
                name, _, year = key.rpartition("|")
                if count >= MIN_LISTINGS:
                    found.setdefault(name, {})[int(year)] = count
    return found


def _is_one_model(name: str) -> bool:
    """Whether a group is a single model, not a group of rare models."""
    model = name.partition("|")[2]
    return not model.startswith(_RARE_PREFIX) and model not in _NOT_A_MODEL


def _km_per_year(km_by_age: Mapping[int, float]) -> int:
    """Median of the yearly kilometres over the ages at which most cars are sold."""
    paces = sorted(km_by_age[age] / age for age in _PACE_AGES if age in km_by_age)
    return int(round(paces[len(paces) // 2], -2))
