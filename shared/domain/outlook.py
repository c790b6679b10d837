"""What an estimate says beyond today's price: the years to come, and cars like this one."""

import dataclasses
from enum import StrEnum
from typing import Any, Self


class Pace(StrEnum):
    """Whose kilometres a year a car is taken to drive from now on."""

    OWN = "own"
    """Its own so far."""
    MARKET = "market"
    """That of the market's cars: it is too new to have a habit, or its own is out of the usual."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DepreciationPoint:
    """The expected price of the same car some years on."""

    years: int
    km_driven: int
    price_mad: float
    quantiles_mad: tuple[float, ...]
    """Prices at `shared.domain.valuation.QUANTILE_LEVELS`, not decreasing."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Depreciation:
    """The same car in the next years, at today's price level; no price ever rises."""

    km_per_year: int
    pace: Pace
    points: tuple[DepreciationPoint, ...]

    def to_wire(self) -> list[Any]:
        """JSON and msgpack ready; the inverse of `from_wire`."""
        points = [[p.years, p.km_driven, p.price_mad, list(p.quantiles_mad)] for p in self.points]
        return [self.km_per_year, str(self.pace), points]

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild from `to_wire`'s list."""
        km_per_year, pace, points = values
        return cls(
            km_per_year=km_per_year,
            pace=Pace(pace),
            points=tuple(
                DepreciationPoint(
                    years=years, km_driven=km, price_mad=price, quantiles_mad=tuple(quantiles)
                )
                for years, km, price, quantiles in points
            ),
        )


class SimilarityReason(StrEnum):
    """In what a typical car is like the one that was asked about."""

    MODEL = "same_model"
    COMPANY = "same_company"
    YEAR = "same_year"
    NEAR_YEAR = "near_year"
    KM = "near_km"
    PRICE = "near_price"
    FUEL = "same_fuel"
    TRANSMISSION = "same_transmission"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Comparable:
    """A typical car of the reference market: statistics of ten or more listings, never one car."""

    company: str
    model: str
    year_from: int
    year_to: int
    """Years of registration of the listings; the same as `year_from` where one year has enough."""
    km_driven: int
    """Typical kilometres of these listings."""
    fuel: str
    transmission: str
    price_mad: float
    """Typical price: what the model says of such a car."""
    listings: int
    """How many listings the statistics come from."""
    distance: float
    """0: the same in everything; grows with the difference."""
    alike: tuple[SimilarityReason, ...]

    def to_wire(self) -> list[Any]:
        """JSON and msgpack ready; the inverse of `from_wire`."""
        return [
            [str(one) for one in self.alike] if name == "alike" else getattr(self, name)
            for name in _COMPARABLE_FIELDS
        ]

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild from `to_wire`'s list."""
        given = dict(zip(_COMPARABLE_FIELDS, values, strict=True))
        return cls(**given | {"alike": tuple(SimilarityReason(one) for one in given["alike"])})


_COMPARABLE_FIELDS = tuple(field.name for field in dataclasses.fields(Comparable))
