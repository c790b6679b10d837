"""Extras of an estimate: expected prices of the next years, and comparable cars."""

import dataclasses
from enum import StrEnum
from typing import Any, Self


class Pace(StrEnum):
    """The basis of the kilometres per year that the depreciation assumes."""

    OWN = "own"
    """The car's own average."""
    MARKET = "market"
    """The market's average, for cars that are too new or have an unusual one."""


@dataclasses.dataclass(frozen=True, slots=True)
class DepreciationPoint:
    """The expected price of the same car some years on."""

    years: int
    km_driven: int
    price_mad: float
    quantiles_mad: tuple[float, ...]
    """Prices at `shared.domain.valuation.QUANTILE_LEVELS`, not decreasing."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Depreciation:
    """Expected prices of the next years at today's price level; they never rise."""

    km_per_year: int
    pace: Pace
    points: tuple[DepreciationPoint, ...]

    def to_wire(self) -> list[Any]:
        """JSON and msgpack ready; the inverse of `from_wire`."""
        points = [[p.years, p.km_driven, p.price_mad, list(p.quantiles_mad)] for p in self.points]
        return [self.km_per_year, str(self.pace), points]

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild from `to_wire`'s list; further values of a newer version are ignored."""
        km_per_year, pace, given, *_ = values
        points = tuple(DepreciationPoint(y, km, price, tuple(q)) for y, km, price, q, *_ in given)
        return cls(km_per_year=km_per_year, pace=Pace(pace), points=points)


class SimilarityReason(StrEnum):
    """A property that a comparable car shares with the requested one."""

    MODEL = "same_model"
    COMPANY = "same_company"
    YEAR = "same_year"
    NEAR_YEAR = "near_year"
    KM = "near_km"
    PRICE = "near_price"
    FUEL = "same_fuel"
    TRANSMISSION = "same_transmission"


class DifferenceReason(StrEnum):
    """A property in which a comparable car clearly differs from the requested one."""

    FUEL = "other_fuel"
    TRANSMISSION = "other_transmission"
    OLDER = "older"
    NEWER = "newer"
    FEWER_KM = "fewer_km"
    MORE_KM = "more_km"
    CHEAPER = "cheaper"
    DEARER = "dearer"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Comparable:
    """A typical car of the reference market: statistics of ten or more listings."""

    company: str
    model: str
    year_from: int
    year_to: int
    """Years of registration of the listings; the same as `year_from` where one year has enough."""
    km_driven: int
    """Few, usual or many kilometres of such cars: those nearest to the requested car's."""
    fuel: str
    transmission: str
    price_mad: float
    """The model's price for such a car."""
    listings: int
    """How many listings of the model in these years the statistics come from."""
    distance: float
    """0 for an equal car; grows with the differences."""
    alike: tuple[SimilarityReason, ...]
    differs: tuple[DifferenceReason, ...] = ()

    def to_wire(self) -> list[Any]:
        """JSON and msgpack ready; the inverse of `from_wire`."""
        values = (getattr(self, name) for name in _COMPARABLE_FIELDS)
        return [list(map(str, each)) if isinstance(each, tuple) else each for each in values]

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild from `to_wire`'s list; further values and reasons of a newer one are ignored."""
        given = dict(zip(_COMPARABLE_FIELDS, values, strict=False))
        alike = tuple(_ALIKE[one] for one in given["alike"] if one in _ALIKE)
        differs = tuple(_DIFFERS[one] for one in given.get("differs", ()) if one in _DIFFERS)
        return cls(**given | {"alike": alike, "differs": differs})


_ALIKE = {str(reason): reason for reason in SimilarityReason}
_DIFFERS = {str(reason): reason for reason in DifferenceReason}
_COMPARABLE_FIELDS = tuple(field.name for field in dataclasses.fields(Comparable))
