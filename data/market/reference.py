"""The reference market: statistics from which `data.market.generator` draws listings.

The statistics are committed in `reference_market.json`; `data.market.calibrate` estimates them from
any listings file. They contain no data of single listings.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from data.hedonic.model import HedonicModel, PiecewiseLinear
from data.market.distributions import Distributions
from data.market.kind_bounds import with_bounded_kinds
from data.market.kind_trend import KindTrend
from data.market.kinds import KindShares, KindYears, with_new_car_fields
from data.market.new_car_anchor import with_new_cars, years_of_new_cars
from data.market.new_cars import NewCars

REFERENCE_MARKET = Path(__file__).with_name("reference_market.json")
_LINE_DEPTH = 4


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PriceSpread:
    """Distribution of the residuals of the hedonic model, log scale.

    Estimated from in-sample and out-of-fold residuals. The standard deviation of a car is that of
    its group times the factor of its age band; the shape is the distribution of the standardised
    residual.
    """

    groups: Mapping[str, Sequence[float]]
    """[listings, standard deviation] by group."""
    ages: Mapping[str, Sequence[float]]
    """[listings, factor] by the lower bound of the age band."""
    levels: tuple[float, ...]
    shape: tuple[float, ...]
    """Standardised residual at the quantile levels `levels`, of models with own statistics."""
    rare_shape: tuple[float, ...]
    """The same of rare models, which are priced by their company."""
    counts: tuple[int, int]
    """Number of listings behind `shape` and `rare_shape`."""

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `dataclasses.asdict`."""
        tuples = ("levels", "shape", "rare_shape", "counts")
        return cls(**{**given, **{name: tuple(given[name]) for name in tuples}})


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceMarket:
    """Statistics of a market of used cars.

    Args:
        data_as_of: month (YYYY-MM) of the latest listing, whose price level is quoted.
        basis: kind of the prices.
        listings: number of listings behind the statistics.
        hedonic: the price model.
        price_index: [listings, price level] by month, 1 at `data_as_of`, of cars of the same year
            of registration.
        spread: residuals of the price model.
        cars: distributions of the cars.
        kind_trend: how their fuels and gearboxes change with the year.
        kinds: fuels and gearboxes of the cars of each model, with their years.
        kind_shares: shares of those that are too rare for a count.
        new_cars: levels of new cars.
    """

    data_as_of: str
    basis: str
    listings: int
    hedonic: HedonicModel
    price_index: Mapping[str, Sequence[float]]
    spread: PriceSpread
    cars: Distributions
    kind_trend: KindTrend = dataclasses.field(default_factory=dict)
    kinds: KindYears = dataclasses.field(default_factory=dict)
    kind_shares: KindShares = dataclasses.field(default_factory=dict)
    new_cars: NewCars = dataclasses.field(default_factory=NewCars)

    @property
    def price_model(self) -> HedonicModel:
        """The price model with regard to the prices of new cars, at the level of `data_as_of`."""
        anchored = with_new_cars(
            self.hedonic,
            self.new_cars,
            self.cars,
            self.kind_trend,
            as_of=int(self.data_as_of[:4]),
        )
        known = with_new_car_fields(anchored, self.new_cars, self.hedonic.vehicle_years)
        return with_bounded_kinds(known, self.new_cars)

    def years_of_new_cars(self, price_model: HedonicModel) -> dict[str, int]:
        """First year from which the price when new tells that of a used car, by vehicle.

        Args:
            price_model: `price_model`, or a model fitted to listings drawn from it.
        """
        return years_of_new_cars(
            price_model,
            self.new_cars,
            self.cars,
            self.kind_trend,
            as_of=int(self.data_as_of[:4]),
        )

    @classmethod
    def load(cls, path: Path = REFERENCE_MARKET) -> Self:
        """Read the statistics from a file."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))

    def save(self, path: Path) -> None:
        """Write the statistics, one cell per line."""
        path.write_text(_dump(self.to_json()) + "\n", encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {
            "data_as_of": self.data_as_of,
            "basis": self.basis,
            "listings": self.listings,
            "price_index": dict(self.price_index),
            "spread": dataclasses.asdict(self.spread),
            "cars": dataclasses.asdict(self.cars),
            "kind_trend": self.kind_trend,
            "kinds": self.kinds,
            "kind_shares": self.kind_shares,
            "new_cars": dataclasses.asdict(self.new_cars),
            "hedonic": self.hedonic.to_json(),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        parsed: dict[str, Any] = {
            "hedonic": HedonicModel.from_json(given["hedonic"]),
            "spread": PriceSpread.from_json(given["spread"]),
            "cars": Distributions.from_json(given["cars"]),
        }
        if "new_cars" in given:  # statistics of earlier releases lack them
            parsed["new_cars"] = NewCars.from_json(given["new_cars"])
        return cls(**{**given, **parsed})


MONTHS_A_YEAR = 12


def month_number(month: str) -> float:
    """A month as a number that grows by one each month.

    >>> month_number("2025-01") - month_number("2024-11")
    2.0
    """
    year, number = month.split("-")
    return float(int(year) * MONTHS_A_YEAR + int(number))


def date_curve(first: str, last: str) -> PiecewiseLinear:
    """Log price level by month of listing: a curve with yearly knots that is zero at `last`."""
    start, end = month_number(first), month_number(last)
    knots = [end]
    while knots[0] - MONTHS_A_YEAR > start:
        knots.insert(0, knots[0] - MONTHS_A_YEAR)
    knots.insert(0, min(start, knots[0] - 1.0))
    return PiecewiseLinear(variable="listing_month", knots=tuple(knots), origin=end)


def _dump(value: Any, depth: int = 0) -> str:
    """JSON with one line per cell: objects down to depth `_LINE_DEPTH` are spread over lines."""
    if isinstance(value, dict) and depth < _LINE_DEPTH and value:
        indent = "\n" + " " * (depth + 1)
        body = ",".join(
            f"{indent}{json.dumps(name, ensure_ascii=False)}: {_dump(item, depth + 1)}"
            for name, item in value.items()
        )
        return "{" + body + "\n" + " " * depth + "}"
    if isinstance(value, list) and depth < _LINE_DEPTH and any(isinstance(i, dict) for i in value):
        indent = "\n" + " " * (depth + 1)
        return "[" + ",".join(indent + _dump(item, depth + 1) for item in value) + "\n]"
    return json.dumps(value, ensure_ascii=False, separators=(", ", ":"))
